{{/* Refuses values that would not work as intended, each with a remedy. */}}
{{- define "terrace.refusals" -}}
{{- $configuration := include "terrace.configuration" . | fromYaml -}}
{{- $postgresql := .Values.state.postgresql -}}

{{- if not .Values.image.repository -}}
{{- fail "image.repository is required: name the image built from deploy/Dockerfile" -}}
{{- end -}}

{{- /* Authentication. */ -}}
{{- $auth := default dict $configuration.server.auth -}}
{{- if not $auth.mode -}}
{{- fail "server.auth.mode is required: set `mode: token` with `tokens`, `mode: oidc` with `issuer` and `audience`, `mode: github` with `clientId`, `clientSecret` and `roles`, or `mode: none` behind a proxy that authenticates callers" -}}
{{- end -}}
{{- if and (eq $auth.mode "token") (not $auth.tokens) -}}
{{- fail "server.auth.tokens is empty, so every call would be refused: add `{name: …, sha256: …, scopes: [apply]}`" -}}
{{- end -}}
{{- $seen := dict -}}
{{- range $auth.tokens -}}
{{- $digest := lower (toString .sha256) -}}
{{- if hasKey $seen $digest -}}
{{- fail (printf "server.auth.tokens: %s and %s have the same token, so their calls cannot be told apart: give each its own" .name (get $seen $digest)) -}}
{{- end -}}
{{- $_ := set $seen $digest .name -}}
{{- end -}}
{{- if regexMatch "^(127\\.|\\[::1\\])" $configuration.server.bind -}}
{{- fail (printf "server.bind: %s is reachable only inside the pod, not for probes and the service: write 0.0.0.0:8091" $configuration.server.bind) -}}
{{- end -}}

{{- /* Values that the server refuses and the schema cannot check. */ -}}
{{- $server := $configuration.server -}}
{{- $every := (default dict $server.drift).every -}}
{{- $durations := list (list "drain" $server.drain 0 "") (list "retention" $server.retention 3600000 "at least an hour and ") -}}
{{- $durations = append $durations (list "timeout" $server.timeout 1000 "at least a second and ") -}}
{{- $durations = append $durations (list "stateTimeout" $server.stateTimeout 60000 "at least a minute and ") -}}
{{- $durations = append $durations (list "drift.every" $every 60000 "at least a minute and ") -}}
{{- range $durations -}}
{{- $text := toString (default "" (index . 1)) -}}
{{- if and (regexMatch "(h|m|s)$" $text) (not (contains "${{" $text)) -}}
{{- $milliseconds := int64 (include "terrace.milliseconds" $text) -}}
{{- if or (lt $milliseconds (int64 (index . 2))) (gt $milliseconds (int64 31536000000)) -}}
{{- fail (printf "server.%s: %s is out of range: set %sat most a year (8760h)" (index . 0) $text (index . 3)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $level := toString (default "" (default dict $server.log).level) -}}
{{- $levels := "((?i:error|warn|info|debug|trace|off)|[0-9]{1,2})" -}}
{{- $part := printf `^ *(%s|terrace[^=\[]*|[^=\[]*::[^=\[]*|.*\[.*\].*|[^=\[]+=%s?)? *$` $levels $levels -}}
{{- range ternary list (splitList "," $level) (contains "${{" $level) -}}
{{- if not (regexMatch $part .) -}}
{{- fail (printf "server.log.level: `%s` is not a level: write error, warn, info, debug or trace, and part=level for a part of the program" .) -}}
{{- end -}}
{{- end -}}

{{- if and .Values.tls.secret .Values.server.tls -}}
{{- fail "tls.secret and server.tls are both set: remove one of them; tls.secret sets server.tls itself" -}}
{{- end -}}

{{- /* State. */ -}}
{{- if and (include "terrace.isMany" .) (not $postgresql.enabled) -}}
{{- fail "several replicas need a shared state, and SQLite has only one writing process: set state.postgresql.enabled, or replicaCount: 1 and autoscaling.enabled: false" -}}
{{- end -}}
{{- if and (include "terrace.isMany" .) (include "terrace.isPersistent" .) -}}
{{- fail "several replicas cannot share the volume of persistence: remove persistence.enabled and persistence.existingClaim, or set replicaCount: 1 and autoscaling.enabled: false" -}}
{{- end -}}
{{- if $postgresql.enabled -}}
{{- if and $postgresql.urlSecret $postgresql.host -}}
{{- fail "state.postgresql has urlSecret and host: set the whole URL or its parts" -}}
{{- else if not (or $postgresql.urlSecret $postgresql.host) -}}
{{- fail "state.postgresql has no address of the database: set urlSecret, or host and passwordSecret" -}}
{{- else if and $postgresql.host (not $postgresql.passwordSecret) -}}
{{- fail "state.postgresql.passwordSecret is required with host: set {name: …, key: …} of a Secret" -}}
{{- end -}}
{{- end -}}
{{- range $name, $key := dict "password" "passwordSecret" "sslmode" "sslMode" -}}
{{- if hasKey $postgresql.parameters $name -}}
{{- fail (printf "state.postgresql.parameters has %s: set state.postgresql.%s instead" $name $key) -}}
{{- end -}}
{{- end -}}
{{- if or (hasKey .Values.configOverride "state") (hasKey .Values.configOverride "encryption") -}}
{{- fail "configOverride has state or encryption: set them under `state` of the values, which the chart reads" -}}
{{- end -}}
{{- $reserved := list "TERRACE_STATE" "TERRACE_STATE_KEY" "TERRACE_STATE_PASSWORD" -}}
{{- range keys .Values.env -}}
{{- if has . $reserved }}{{ fail (printf "env has %s: set it under `state` of the values, which the chart reads" .) }}{{ end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if has .name $reserved }}{{ fail (printf "extraEnv has %s: set it under `state` of the values, which the chart reads" .name) }}{{ end -}}
{{- end -}}

{{- /* Pods do not share files. */ -}}
{{- if include "terrace.isMany" . -}}
{{- if not $configuration.environments -}}
{{- fail "several replicas without environments would use the environment `local`, whose files exist in one pod only: add environments without `overlay: embedded`" -}}
{{- end -}}
{{- range $name, $environment := $configuration.environments -}}
{{- if eq (toString (get (default dict $environment) "overlay")) "embedded" -}}
{{- fail (printf "several replicas, and environments.%s has `overlay: embedded`, whose files exist in one pod only: set another overlay, or one replica" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Values hold no secrets. */ -}}
{{- include "terrace.noSecrets" (dict "at" "server" "value" $configuration.server) -}}
{{- include "terrace.noSecrets" (dict "at" "environments" "value" (default dict $configuration.environments)) -}}
{{- include "terrace.noSecrets" (dict "at" "wellKnown" "value" .Values.wellKnown) -}}
{{- $secret := "(SECRET|PASSWORD|PASSPHRASE|TOKEN|KEY)$" -}}
{{- range $name, $_ := .Values.env -}}
{{- if regexMatch $secret $name -}}
{{- fail (printf "env.%s looks like a secret: take it from a Secret, under `extraEnv` with `valueFrom: {secretKeyRef: …}`" $name) -}}
{{- end -}}
{{- end -}}
{{- include "terrace.noSecrets" (dict "at" "env" "value" .Values.env) -}}
{{- range .Values.extraEnv -}}
{{- if and .value (regexMatch $secret .name) (not (contains "$(" (toString .value))) -}}
{{- fail (printf "extraEnv has %s with a plain value: take it from a Secret with `valueFrom: {secretKeyRef: …}`" .name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.customRootCA.configMap .Values.customRootCA.secret -}}
{{- fail "customRootCA has configMap and secret: set one of them" -}}
{{- end -}}

{{- /* Shutdown. */ -}}
{{- $least := add (include "terrace.drain" .) (int .Values.preStopSleepSeconds) -}}
{{- if le (int (include "terrace.gracePeriod" .)) (int $least) -}}
{{- fail (printf "terminationGracePeriodSeconds: %v ends the server before it has drained: set more than %d, the sum of server.drain and preStopSleepSeconds" .Values.terminationGracePeriodSeconds $least) -}}
{{- end -}}
{{- with .Values.podDisruptionBudget -}}
{{- if not (or (kindIs "invalid" .minAvailable) (kindIs "invalid" .maxUnavailable)) -}}
{{- fail "podDisruptionBudget has minAvailable and maxUnavailable: set one of them" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.enabled is true, but ingress.hosts is empty: add `{host: …}`" -}}
{{- end -}}
{{- end }}

{{/*
Refuses a secret in plain text: a key with a secret's name, or a URL with a password, needs an expression. Takes a dict of
`at`, the place, and `value`. The names match the sensitive settings of the providers (tests/deploy compares them) and
similar names.
*/}}
{{- define "terrace.noSecrets" -}}
{{- $at := .at -}}
{{- $names := "(?i)(secret|password|passphrase|token|credentials?|(api|access|private)[-_]?key|access[-_]?key[-_]?id|service[-_]?account|authorization|cookie)$" -}}
{{- $inUrl := "(?i)://([^/?#@]*:[^@]*@|[^#]*[?&;][^=&;]*(secret|password|passphrase|token)=)" -}}
{{- if kindIs "map" .value -}}
{{- range $key, $value := .value -}}
{{- include "terrace.noSecrets" (dict "at" (printf "%s.%s" $at $key) "name" $key "value" $value) -}}
{{- end -}}
{{- else if kindIs "slice" .value -}}
{{- range $index, $value := .value -}}
{{- include "terrace.noSecrets" (dict "at" (printf "%s[%d]" $at $index) "value" $value) -}}
{{- end -}}
{{- else if not (or (kindIs "bool" .value) (kindIs "invalid" .value) (contains "${{" (toString .value))) -}}
{{- $instead := "take it from a Secret with `{secret: \"${{ env.NAME }}\"}` and NAME under `extraEnv`" -}}
{{- if and (ne (toString .value) "") (regexMatch $names (default "" .name)) }}{{ fail (printf "%s is a secret in plain text: %s" $at $instead) }}{{ end -}}
{{- if regexMatch $inUrl (toString .value) }}{{ fail (printf "%s contains a password: %s" $at $instead) }}{{ end -}}
{{- end -}}
{{- end }}
