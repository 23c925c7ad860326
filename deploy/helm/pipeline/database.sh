set -eu
umask 077
# The first process of a container ignores signals without a trap, and a trap runs only after the command in the foreground.
trap 'exit 143' TERM
if [ ! -d "$PGDATA" ]; then
  rm -rf "$PGDATA.partial"
  initdb -D "$PGDATA.partial" -U postgres -A scram-sha-256 -E UTF8 --no-locale --pwfile="$PASSWORD_FILE" &
  wait "$!"
  echo 'host all all all scram-sha-256' >>"$PGDATA.partial/pg_hba.conf"
  mv "$PGDATA.partial" "$PGDATA"
  echo "$SECRET" >"$PGDATA.secret"
fi
chmod 700 "$PGDATA"
if [ "$(cat "$PGDATA.secret" 2>/dev/null)" != "$SECRET" ]; then
  # Doubled quotes keep the password one literal: the mode for a single user has no variables. An error ends it, and this script.
  password=$(sed "s/'/''/g;q" "$PASSWORD_FILE")
  printf "ALTER ROLE postgres PASSWORD '%s'\n" "$password" |
    postgres --single -c exit_on_error=on -c log_min_error_statement=panic postgres >/dev/null
  echo "$SECRET" >"$PGDATA.secret"
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp
