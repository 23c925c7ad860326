# shellcheck shell=bash
# Servers of S3 (moto) and of Google Cloud Storage, for the scripts in this folder that source this file and have a function
# `fail`. storage_servers.py describes the servers. Needs Python 3.11, and PyPI for the first run: installed packages are cached.

moto_servers=$(realpath "$(dirname "${BASH_SOURCE[0]}")/storage_servers.py")
moto_python=${XDG_CACHE_HOME:-$HOME/.cache}/terrace-tests/moto-5/bin/python

# Starts the servers with the files in FOLDER, and sets `moto_pid`. With NETWORK, the file of a network namespace, they listen
# there: at ADDRESS, with TLS; the authority is FOLDER/authority.pem.
moto_start() { # FOLDER [NETWORK ADDRESS]
  moto_folder=$1 moto_inside=()
  local tls=()
  if ! [ -x "$moto_python" ] || ! "$moto_python" -c 'import moto, flask, cryptography' 2>/dev/null; then
    python3 -m venv --clear "$(dirname "$(dirname "$moto_python")")"
    "$moto_python" -m pip install -q 'moto[s3,server]==5.*' cryptography
  fi
  mkdir -p "$moto_folder"
  if [ -n "${2:-}" ]; then
    moto_inside=(nsenter "--net=$2")
    moto_certificate "$3"
    tls=("$3" "$moto_folder/server.pem" "$moto_folder/server.key")
  fi
  "${moto_inside[@]}" "$moto_python" "$moto_servers" "$moto_folder" "${tls[@]}" >"$moto_folder/log" 2>&1 &
  moto_pid=$!
  for _ in $(seq 600); do
    ! grep -q ready "$moto_folder/log" || return 0
    kill -0 "$moto_pid" 2>/dev/null || break
    sleep 0.1
  done
  cat "$moto_folder/log" >&2
  fail 'the servers of buckets do not start'
}

moto_certificate() { # ADDRESS
  (cd "$moto_folder" && {
    openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=authority -keyout authority.key -out authority.pem
    openssl req -newkey rsa:2048 -nodes -subj /CN=buckets -keyout server.key -out server.csr
    openssl x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 1 \
      -extfile <(echo "subjectAltName = IP:$1") -out server.pem
  } 2>/dev/null)
}

moto_address() { # s3 | gcs | moto
  "$moto_python" -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$moto_folder/servers.json" "$1"
}

boto() { # PROGRAM ARGUMENTS: a program of Python that has the client `s3` of moto, behind both servers
  MOTO=$(moto_address moto) "${moto_inside[@]}" "$moto_python" -c "
import boto3, hashlib, os, sys
s3 = boto3.client('s3', endpoint_url=os.environ['MOTO'], aws_access_key_id='k', aws_secret_access_key='s', region_name='us-east-1')
$1" "${@:2}"
}

# The next request with METHOD for a path with PART has a fault: busy, cut or wait. `moto_go_on` ends waits.
moto_fault() { # METHOD PART FAULT
  rm -f "$moto_folder/go-on"
  echo "$1 $2 $3" >>"$moto_folder/faults"
}
moto_go_on() { touch "$moto_folder/go-on"; }
