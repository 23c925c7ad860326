curl -s --max-time 60 -o answer -w '%{http_code}' -H 'content-type: application/json' --data-binary "@$2" "$1"
