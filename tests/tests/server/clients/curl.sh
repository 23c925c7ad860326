curl -s -o answer -w '%{http_code}' -H 'content-type: application/json' --data-binary "@$2" "$1"
