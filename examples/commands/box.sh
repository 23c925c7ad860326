#!/bin/sh
# usage: box.sh create|read|update|delete|find     told by one JSON object on standard input and by $LABEL
#
# A box is a file named by the resource's address: that is what `find` still knows after a call whose outcome was lost.
set -eu
address=$(sed 's/^{"address":"\(\([^"\\]\|\\.\)*\)".*/\1/')
box=boxes/$(printf '%s' "$address" | tr -c 'A-Za-z0-9_.@-' '_').json
case $1 in
create | update)
  mkdir -p boxes
  printf '{"id": "%s", "label": "%s"}\n' "$box" "$LABEL" >"$box.new"
  mv "$box.new" "$box" # whole or not at all, whenever we are killed
  cat "$box"
  ;;
read | find) if [ -f "$box" ]; then cat "$box"; else echo null; fi ;;
delete) rm -f "$box" ;;
esac
