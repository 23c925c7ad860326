import sys
import urllib.error
import urllib.request

url, file = sys.argv[1:]
with open(file, "rb") as body:
    request = urllib.request.Request(url, body.read(), {"content-type": "application/json"})
try:
    print(urllib.request.urlopen(request).status, end="")
except urllib.error.HTTPError as error:
    print(error.code, end="")
