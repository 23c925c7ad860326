# shellcheck shell=bash
# Calls of a real workspace of Databricks, and the deletion of all objects of tests.

# Prints the token: the given one, or an OAuth token of a service principal.
token() {
  if [ -n "${DATABRICKS_TOKEN:-}" ]; then
    echo "$DATABRICKS_TOKEN"
  else
    curl -fsS -u "${DATABRICKS_CLIENT_ID:?}:${DATABRICKS_CLIENT_SECRET:?}" -d 'grant_type=client_credentials&scope=all-apis' \
      "${DATABRICKS_HOST%/}/oidc/v1/token" | jq -r .access_token
  fi
}
bearer=$(token)

# METHOD PATH [BODY]; keeps the token out of the list of processes.
api() {
  curl -fsS -X "$1" -H @- -H 'Content-Type: application/json' ${3:+--data "$3"} "${DATABRICKS_HOST%/}$2" \
    <<<"Authorization: Bearer $bearer"
}

# Deletes objects with a prefix: jobs, pipelines, and catalogs with their content.
sweep() { # PREFIX
  case $1 in terrace_live_*) ;; *) echo "not a prefix of tests: $1" >&2; return 1 ;; esac
  local page='' answer more id name
  while :; do
    answer=$(api GET "/api/2.2/jobs/list?limit=100${page:+&page_token=$page}")
    while read -r id name; do
      [ -z "$id" ] || { api POST /api/2.2/jobs/delete "{\"job_id\": $id}" >/dev/null; echo "removed the job $name"; }
    done < <(jq -r --arg prefix "$1" '.jobs[]? | select(.settings.name | startswith($prefix)) | "\(.job_id) \(.settings.name)"' <<<"$answer")
    more=$(jq -r 'select(.has_more) | .next_page_token // empty' <<<"$answer")
    [ -n "$more" ] || break
    page=$more
  done
  while read -r id name; do
    [ -z "$id" ] || { api DELETE "/api/2.0/pipelines/$id" >/dev/null; echo "removed the pipeline $name"; }
  done < <(api GET "/api/2.0/pipelines?max_results=100" | jq -r --arg prefix "$1" '.statuses[]? | select(.name | startswith($prefix)) | "\(.pipeline_id) \(.name)"')
  # A workspace may have no metastore.
  answer=$(api GET '/api/2.1/unity-catalog/catalogs?max_results=1000' 2>/dev/null || echo '{}')
  while read -r name; do
    [ -z "$name" ] || { api DELETE "/api/2.1/unity-catalog/catalogs/$name?force=true" >/dev/null; echo "removed the catalog $name"; }
  done < <(jq -r --arg prefix "$1" '.catalogs[]? | select(.name | startswith($prefix)) | .name' <<<"$answer")
}
