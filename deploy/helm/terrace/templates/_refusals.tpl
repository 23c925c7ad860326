{{/* What would not work, or not as it looks: each is refused with what to do. */}}
{{- define "terrace.refusals" -}}
{{- $configuration := include "terrace.configuration" . | fromYaml -}}
{{- $postgresql := .Values.state.postgresql -}}

{{- if not .Values.image.repository -}}
{{- fail "image.repository is needed: name the image that was built of deploy/Dockerfile" -}}
{{- end -}}

{{- /* Who is let in. */ -}}
{{- $auth := default dict $configuration.server.auth -}}
{{- if not $auth.mode -}}
{{- fail "server.auth does not say who is let in: give `mode: token` with `tokens`, `mode: oidc` with `issuer` and `audience`, or `mode: none` behind a proxy that authenticates callers" -}}
{{- end -}}
{{- if and (eq $auth.mode "token") (not $auth.tokens) -}}
{{- fail "server.auth lets nobody in: it has no `tokens`; add `{name: …, sha256: …, scopes: [apply]}`" -}}
{{- end -}}
{{- $seen := dict -}}
{{- range $auth.tokens -}}
{{- $digest := lower (toString .sha256) -}}
{{- if hasKey $seen $digest -}}
{{- fail (printf "server.auth.tokens: the token of %s is that of %s, too, so that nobody could tell whose a call is; give each its own" .name (get $seen $digest)) -}}
{{- end -}}
{{- $_ := set $seen $digest .name -}}
{{- end -}}
{{- if regexMatch "^(127\\.|\\[::1\\])" $configuration.server.bind -}}
{{- fail (printf "server.bind: %s is reached from within the pod alone, not by probes and the service; write 0.0.0.0:8091" $configuration.server.bind) -}}
{{- end -}}

{{- /* What the server refuses, and the schema cannot tell. */ -}}
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
{{- fail (printf "server.%s: %s is no duration that works; give %sat most a year (8760h)" (index . 0) $text (index . 3)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $level := toString (default "" (default dict $server.log).level) -}}
{{- $levels := "((?i:error|warn|info|debug|trace|off)|[0-9]{1,2})" -}}
{{- $part := printf `^ *(%s|terrace[^=\[]*|[^=\[]*::[^=\[]*|.*\[.*\].*|[^=\[]+=%s?)? *$` $levels $levels -}}
{{- range ternary list (splitList "," $level) (contains "${{" $level) -}}
{{- if not (regexMatch $part .) -}}
{{- fail (printf "server.log.level: `%s` is no level; write error, warn, info, debug or trace, and part=level for a part of the program" .) -}}
{{- end -}}
{{- end -}}

{{- if and .Values.tls.secret .Values.server.tls -}}
{{- fail "tls.secret and server.tls are both set: tls.secret names the files of its Secret by itself; leave one of them out" -}}
{{- end -}}

{{- /* Where the state is. */ -}}
{{- if and (include "terrace.isMany" .) (not $postgresql.enabled) -}}
{{- fail "several replicas need a state that all of them write: set state.postgresql.enabled, or replicaCount: 1 and autoscaling.enabled: false, for SQLite is one process's own" -}}
{{- end -}}
{{- if and $postgresql.enabled (or (eq (toString .Values.persistence.enabled) "true") .Values.persistence.existingClaim) -}}
{{- fail "persistence and state.postgresql.enabled are both set: with PostgreSQL there is nothing to keep in a volume; leave one of them out" -}}
{{- end -}}
{{- if $postgresql.enabled -}}
{{- if and $postgresql.urlSecret $postgresql.host -}}
{{- fail "state.postgresql has urlSecret and host: give the whole URL or its parts" -}}
{{- else if not (or $postgresql.urlSecret $postgresql.host) -}}
{{- fail "state.postgresql does not say where the database is: give urlSecret, or host and passwordSecret" -}}
{{- else if and $postgresql.host (not $postgresql.passwordSecret) -}}
{{- fail "state.postgresql.passwordSecret is needed beside host: {name: …, key: …} of a Secret" -}}
{{- end -}}
{{- end -}}
{{- range $name, $key := dict "password" "passwordSecret" "sslmode" "sslMode" -}}
{{- if hasKey $postgresql.parameters $name -}}
{{- fail (printf "state.postgresql.parameters has %s: say it under state.postgresql.%s" $name $key) -}}
{{- end -}}
{{- end -}}
{{- if or (hasKey .Values.configOverride "state") (hasKey .Values.configOverride "encryption") -}}
{{- fail "configOverride has state or encryption: the chart has to know them; say it under `state` of the values" -}}
{{- end -}}
{{- $reserved := list "TERRACE_STATE" "TERRACE_STATE_KEY" "TERRACE_STATE_PASSWORD" -}}
{{- range keys .Values.env -}}
{{- if has . $reserved }}{{ fail (printf "env has %s: the chart has to know it; say it under `state` of the values" .) }}{{ end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if has .name $reserved }}{{ fail (printf "extraEnv has %s: the chart has to know it; say it under `state` of the values" .name) }}{{ end -}}
{{- end -}}

{{- /* Files of one pod are not there for the others. */ -}}
{{- if include "terrace.isMany" . -}}
{{- if not $configuration.environments -}}
{{- fail "several replicas, and no environments: that is the environment `local`, which makes files in one pod; name environments without `overlay: embedded`" -}}
{{- end -}}
{{- range $name, $environment := $configuration.environments -}}
{{- if eq (toString (get (default dict $environment) "overlay")) "embedded" -}}
{{- fail (printf "several replicas, and environments.%s has `overlay: embedded`: it makes files in one pod, which the others do not have" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Secrets are named, not written. */ -}}
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
{{- fail (printf "extraEnv has %s with its value: take it from a Secret with `valueFrom: {secretKeyRef: …}`" .name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.customRootCA.configMap .Values.customRootCA.secret -}}
{{- fail "customRootCA has configMap and secret: give one of them" -}}
{{- end -}}

{{- /* How it ends. */ -}}
{{- $least := add (include "terrace.drain" .) (int .Values.preStopSleepSeconds) -}}
{{- if le (int (include "terrace.gracePeriod" .)) (int $least) -}}
{{- fail (printf "terminationGracePeriodSeconds: %v ends the server before it has drained; give more than %d, which is server.drain and preStopSleepSeconds" .Values.terminationGracePeriodSeconds $least) -}}
{{- end -}}
{{- with .Values.podDisruptionBudget -}}
{{- if not (or (kindIs "invalid" .minAvailable) (kindIs "invalid" .maxUnavailable)) -}}
{{- fail "podDisruptionBudget has minAvailable and maxUnavailable: Kubernetes takes one of them" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.enabled, and ingress.hosts names none: add `{host: …}`" -}}
{{- end -}}
{{- end }}

{{/*
What is secret by its name, or has a password in it as a URL has, has to be an expression: a dict of `at`, the place, and
`value`. The names are those of providers' settings that are sensitive (tests/deploy compares them), and what others are
called alike.
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
{{- if and (ne (toString .value) "") (regexMatch $names (default "" .name)) }}{{ fail (printf "%s is written out: %s" $at $instead) }}{{ end -}}
{{- if regexMatch $inUrl (toString .value) }}{{ fail (printf "%s has a password in it: %s" $at $instead) }}{{ end -}}
{{- end -}}
{{- end }}
