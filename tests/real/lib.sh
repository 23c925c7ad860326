# shellcheck shell=bash
# Starts a PostgreSQL server in a temporary folder, for the scripts in this folder. It stops with the script that
# sources this file.

server_start() { # options of the server
  export PATH="$PATH:$(printf %s: /usr/lib/postgresql/*/bin /usr/local/bin)"
  command -v initdb >/dev/null || { echo 'PostgreSQL is not installed: apt-get install postgresql' >&2; exit 1; }
  folder=$(mktemp -d /tmp/terrace-real.XXXXXX)
  as=()
  if [ "$(id -u)" = 0 ]; then as=(runuser -u postgres --); chown postgres "$folder"; fi
  (cd "$folder" && "${as[@]}" initdb -D data -U terrace -A trust -E UTF8 --no-locale --no-sync >initdb.log)
  (cd "$folder" && "${as[@]}" pg_ctl start -w -D data -l log -o "-k $folder -c listen_addresses= -c max_connections=200 $*" >/dev/null)
  trap server_stop EXIT
  export PGHOST=$folder PGUSER=terrace PGDATABASE=postgres
  unset PGPASSWORD PGPORT PGSSLMODE
}

server_stop() {
  (cd "$folder" && "${as[@]}" pg_ctl stop -w -D data -m immediate >/dev/null) || true
  rm -rf "$folder"
}

sql() { psql -XAtqc "$1" "${2:-postgres}"; }

# A stack with this many tables of a database, in the schema s.
stack() { # tables, database
  echo 'apiVersion: terrace.dev/v1'
  echo 'kind: Stack'
  echo 'metadata: {name: many}'
  echo 'resources:'
  echo "  - {type: postgres_schema, name: s, config: {database: $2, name: s}}"
  echo '  - type: postgres_table'
  echo '    name: t'
  echo "    forEach: \${{ range($1) }}"
  echo '    config:'
  echo "      database: $2"
  # shellcheck disable=SC2016 # expressions of terrace
  echo '      schema: ${{ resources.s.name }}'
  # shellcheck disable=SC2016
  echo '      name: t${{ each.value }}'
  echo '      primaryKey: {columns: [id]}'
  echo '      columns:'
  echo '        - {name: id, type: bigint, nullable: false, comment: Its number}'
  echo "        - {name: label, type: character varying(20), default: \"'new'\"}"
  echo '        - {name: price, type: "numeric(10,2)"}'
  echo '        - {name: made, type: timestamp with time zone, default: now()}'
}
