#!/bin/sh
# usage: box.sh create|read|update|delete|find     input: a JSON object on standard input, and $LABEL
#
# A box is a file named after the resource's address, so that `find` can find it after a call with a lost outcome.
set -eu
address=$(sed 's/^{"address":"\(\([^"\\]\|\\.\)*\)".*/\1/')
box=boxes/$(printf '%s' "$address" | tr -c 'A-Za-z0-9_.@-' '_').json
case $1 in
create | update)
  mkdir -p boxes
  printf '{"id": "%s", "label": "%s"}\n' "$box" "$LABEL" >"$box.new"
  mv "$box.new" "$box" # atomic, even if this script is killed
  cat "$box"
  ;;
read | find) if [ -f "$box" ]; then cat "$box"; else echo null; fi ;;
delete) rm -f "$box" ;;
esac
