{{- define "terrace.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "terrace.fullname" -}}
{{- $name := include "terrace.name" . -}}
{{- $both := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $both .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- define "terrace.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "terrace.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "terrace.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{/* Labels of every pod of the release. */}}
{{- define "terrace.releaseLabels" -}}
app.kubernetes.io/name: {{ include "terrace.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of the server's pods only, so that the service does not select `terrace doctor`. */}}
{{- define "terrace.selectorLabels" -}}
{{ include "terrace.releaseLabels" . }}
app.kubernetes.io/component: server
{{- end }}

{{- define "terrace.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "terrace.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* "true" if several pods may write. */}}
{{- define "terrace.isMany" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) -}}true{{- end -}}
{{- end }}

{{/* "true" if the project folder is in a claim. */}}
{{- define "terrace.isPersistent" -}}
{{- if .Values.state.postgresql.enabled -}}
{{- $enabled := toString .Values.persistence.enabled -}}
{{- if or (eq $enabled "true") (and .Values.persistence.existingClaim (ne $enabled "false")) -}}true{{- end -}}
{{- else if ne (toString .Values.persistence.enabled) "false" -}}true{{- end -}}
{{- end }}

{{/* A duration such as 1h30m in milliseconds, rounded up. */}}
{{- define "terrace.milliseconds" -}}
{{- $milliseconds := 0 -}}
{{- range $part := regexFindAll "[0-9.]+(h|ms|m|s)" . -1 -}}
{{- $factor := get (dict "h" 3600000 "m" 60000 "s" 1000 "ms" 1) (regexFind "[a-z]+$" $part) -}}
{{- $milliseconds = addf $milliseconds (mulf (float64 (regexFind "^[0-9.]+" $part)) $factor) -}}
{{- end -}}
{{- $milliseconds | ceil | int64 -}}
{{- end }}

{{/* `server.drain` in whole seconds, rounded up. */}}
{{- define "terrace.drain" -}}
{{- $server := (include "terrace.configuration" . | fromYaml).server -}}
{{- divf (include "terrace.milliseconds" (default "20s" $server.drain)) 1000 | ceil | int -}}
{{- end }}

{{/* "true" if the server uses TLS. */}}
{{- define "terrace.isTls" -}}
{{- if (include "terrace.configuration" . | fromYaml).server.tls -}}true{{- end -}}
{{- end }}

{{/* A probe, with HTTPS if the server uses TLS: a dict of `context` and `probe`. */}}
{{- define "terrace.probe" -}}
{{- $probe := deepCopy .probe -}}
{{- if and $probe.httpGet (include "terrace.isTls" .context) -}}
{{- $_ := set $probe "httpGet" (merge $probe.httpGet (dict "scheme" "HTTPS")) -}}
{{- end -}}
{{- toYaml $probe -}}
{{- end }}

{{/* The port of the pod. */}}
{{- define "terrace.port" -}}
{{- regexFind "[0-9]+$" (include "terrace.configuration" . | fromYaml).server.bind -}}
{{- end }}

{{/*
The ports that the server calls, in order: 443, the port of the database, and the ports of all addresses in the values.
*/}}
{{- define "terrace.egressPorts" -}}
{{- $ports := dict "443" true -}}
{{- if .Values.state.postgresql.enabled -}}
{{- $_ := set $ports (toString (int .Values.state.postgresql.port)) true -}}
{{- end -}}
{{- $texts := list (include "terrace.configuration" .) (toJson .Values.wellKnown) (toJson .Values.env) -}}
{{- if .Values.opentelemetry.enabled }}{{ $texts = append $texts .Values.opentelemetry.endpoint }}{{ end -}}
{{- range $url := regexFindAll "[a-z][a-z0-9+.-]*://[^\\s\"'/?#]*" (join "\n" $texts) -1 -}}
{{- $port := regexFind ":[0-9]{1,5}$" $url | trimPrefix ":" -}}
{{- if $port -}}
{{- $_ := set $ports $port true -}}
{{- else if hasPrefix "http://" $url -}}
{{- $_ := set $ports "80" true -}}
{{- else if regexMatch "^(postgres|postgresql)://" $url -}}
{{- $_ := set $ports "5432" true -}}
{{- end -}}
{{- end -}}
{{- $numbers := list -}}
{{- range $port, $_ := $ports }}{{ $numbers = append $numbers (printf "%05d" (int $port)) }}{{ end -}}
{{- $plain := list -}}
{{- range $number := sortAlpha $numbers }}{{ $plain = append $plain (trimPrefix "0" $number | trimPrefix "0" | trimPrefix "0" | trimPrefix "0") }}{{ end -}}
{{- join " " $plain -}}
{{- end }}

{{/* `tlsConfig` of Prometheus: the values, with defaults for server name and authority. */}}
{{- define "terrace.scrapeTls" -}}
{{- $given := default dict .Values.serviceMonitor.tlsConfig -}}
{{- $default := dict "serverName" (printf "%s.%s.svc" (include "terrace.fullname" .) .Release.Namespace) -}}
{{- if and .Values.tls.secret (not (or $given.ca $given.caFile)) -}}
{{- $_ := set $default "ca" (dict "secret" (dict "name" .Values.tls.secret "key" "ca.crt")) -}}
{{- end -}}
{{- toYaml (merge (deepCopy $given) $default) -}}
{{- end }}

{{- define "terrace.gracePeriod" -}}
{{- $least := add (include "terrace.drain" .) (int .Values.preStopSleepSeconds) -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- add $least 15 -}}
{{- else -}}
{{- int .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end }}

{{/* The URL of the state, as an expression of terrace.yaml: the password is only in the environment. */}}
{{- define "terrace.stateUrl" -}}
{{- $postgresql := .Values.state.postgresql -}}
{{- $password := "env.TERRACE_STATE_PASSWORD" -}}
{{- range $pair := list "%:%25" " :%20" "!:%21" "#:%23" "$:%24" "&:%26" "+:%2B" "/:%2F" "::%3A" "=:%3D" "?:%3F" "@:%40" "[:%5B" "]:%5D" -}}
{{- $password = printf `%s.replace("%s", "%s")` $password (substr 0 1 $pair) (substr 2 5 $pair) -}}
{{- end -}}
{{- $parameters := list (printf "sslmode=%s" $postgresql.sslMode) -}}
{{- range $name, $value := $postgresql.parameters -}}
{{- $parameters = append $parameters (printf "%s=%s" $name (toString $value | urlquery | replace "+" "%20")) -}}
{{- end -}}
{{- $user := $postgresql.user | urlquery | replace "+" "%20" -}}
{{- $database := $postgresql.database | urlquery | replace "+" "%20" -}}
postgres://{{ $user }}:${{ "{{" }} {{ $password }} {{ "}}" }}@{{ $postgresql.host }}:{{ int $postgresql.port }}/{{ $database }}?{{ join "&" $parameters }}
{{- end }}

{{/* terrace.yaml. */}}
{{- define "terrace.configuration" -}}
{{- $server := merge (deepCopy .Values.server) (dict "bind" "0.0.0.0:8091") -}}
{{- if .Values.tls.secret -}}
{{- $folder := "/etc/terrace/certificate" -}}
{{- $_ := set $server "tls" (dict "cert" (printf "%s/%s" $folder .Values.tls.cert) "key" (printf "%s/%s" $folder .Values.tls.key)) -}}
{{- end -}}
{{- $configuration := dict "server" $server -}}
{{- with .Values.environments }}{{ $_ := set $configuration "environments" (deepCopy .) }}{{ end -}}
{{- with .Values.identities }}{{ $_ := set $configuration "identities" (deepCopy .) }}{{ end -}}
{{- $previous := list -}}
{{- range $index, $secret := .Values.state.previousKeySecrets -}}
{{- $variable := printf "${{ env.TERRACE_STATE_KEY_PREVIOUS_%d }}" $index -}}
{{- $previous = append $previous (dict "key" (dict "secret" $variable)) -}}
{{- end -}}
{{- with $previous }}{{ $_ := set $configuration "encryption" (dict "previous" .) }}{{ end -}}
{{- toYaml (mergeOverwrite $configuration (deepCopy .Values.configOverride)) }}
{{- if not .Values.state.postgresql.enabled }}
state: sqlite:.terrace/state.db
{{- else if not .Values.state.postgresql.urlSecret }}
state: '{{ include "terrace.stateUrl" . }}'
{{- end }}
{{- end }}

{{/* The files of the ConfigMap: terrace.yaml, and blueprints by keys without slashes. */}}
{{- define "terrace.files" -}}
terrace.yaml: |
  {{- include "terrace.configuration" . | nindent 2 }}
{{- range $path, $text := .Values.blueprints.files }}
{{ toYaml (dict (include "terrace.blueprintKey" $path) $text) }}
{{- end }}
{{- end }}

{{- define "terrace.blueprintKey" -}}
blueprint.{{ . | replace "/" "__" }}
{{- end }}

{{- define "terrace.secretVariable" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef: {name: {{ .secret.name | quote }}, key: {{ .secret.key | quote }}}
{{- end }}

{{- define "terrace.environment" -}}
{{- with .Values.logging.level }}
- {name: TERRACE_LOG, value: {{ . | quote }}}
{{- end }}
{{- with .Values.state }}
{{- if and .postgresql.enabled .postgresql.urlSecret }}
{{ include "terrace.secretVariable" (dict "name" "TERRACE_STATE" "secret" .postgresql.urlSecret) }}
{{- else if .postgresql.enabled }}
{{ include "terrace.secretVariable" (dict "name" "TERRACE_STATE_PASSWORD" "secret" .postgresql.passwordSecret) }}
{{- end }}
{{- with .keySecret }}
{{ include "terrace.secretVariable" (dict "name" "TERRACE_STATE_KEY" "secret" .) }}
{{- end }}
{{- range $index, $secret := .previousKeySecrets }}
{{ include "terrace.secretVariable" (dict "name" (printf "TERRACE_STATE_KEY_PREVIOUS_%d" $index) "secret" $secret) }}
{{- end }}
{{- end }}
{{- if or .Values.customRootCA.configMap .Values.customRootCA.secret }}
- {name: SSL_CERT_FILE, value: /etc/ssl/certs/ca-certificates.crt}
- {name: SSL_CERT_DIR, value: /etc/terrace/authorities}
{{- end }}
{{- with .Values.opentelemetry }}
{{- if .enabled }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .endpoint | quote }}}
- {name: OTEL_EXPORTER_OTLP_PROTOCOL, value: {{ .protocol | quote }}}
- {name: OTEL_SERVICE_NAME, value: {{ default (include "terrace.fullname" $) .serviceName | quote }}}
{{- $attributes := list }}
{{- range $name, $value := .attributes }}{{ $attributes = append $attributes (printf "%s=%v" $name $value) }}{{ end }}
{{- with $attributes }}
- {name: OTEL_RESOURCE_ATTRIBUTES, value: {{ join "," . | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.wellKnown }}
{{- if kindIs "map" $value }}
{{- with $value }}
{{ include "terrace.secretVariable" (dict "name" $name "secret" .) }}
{{- end }}
{{- else if ne (toString $value) "" }}
- {name: {{ $name }}, value: {{ toString $value | quote }}}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.env }}
- {name: {{ $name }}, value: {{ toString $value | quote }}}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Fields that the pods of the server and of `terrace doctor` share. */}}
{{- define "terrace.podBasics" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
automountServiceAccountToken: {{ .Values.automountServiceAccountToken }}
# Service links of a service named `terrace` would set TERRACE_PORT and others, which look like settings.
enableServiceLinks: false
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "terrace.containerBasics" -}}
image: {{ include "terrace.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
# terrace finds terrace.yaml here, so `kubectl exec … -- terrace state list` needs no options.
workingDir: /var/lib/terrace
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "terrace.environment" . | trim }}
env:
  {{- . | nindent 2 }}
{{- end }}
{{- with .Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: project, mountPath: /var/lib/terrace}
  - {name: configuration, mountPath: /var/lib/terrace/terrace.yaml, subPath: terrace.yaml, readOnly: true}
  - {name: temporary, mountPath: /tmp}
  {{- if or .Values.blueprints.files .Values.blueprints.configMaps }}
  - {name: blueprints, mountPath: /var/lib/terrace/blueprints, readOnly: true}
  {{- end }}
  {{- if or .Values.customRootCA.configMap .Values.customRootCA.secret }}
  - {name: authorities, mountPath: /etc/terrace/authorities, readOnly: true}
  {{- end }}
  {{- if .Values.tls.secret }}
  - {name: certificate, mountPath: /etc/terrace/certificate, readOnly: true}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* All volumes except the project folder: a dict of `context` and `configMap`. */}}
{{- define "terrace.volumes" -}}
{{- $values := .context.Values -}}
- name: configuration
  configMap: {name: {{ .configMap }}, items: [{key: terrace.yaml, path: terrace.yaml}]}
- name: temporary
  emptyDir: {}
{{- if or $values.blueprints.files $values.blueprints.configMaps }}
- name: blueprints
  projected:
    sources:
      {{- if $values.blueprints.files }}
      - configMap:
          name: {{ .configMap }}
          items:
            {{- range $path, $_ := $values.blueprints.files }}
            - {key: {{ include "terrace.blueprintKey" $path }}, path: {{ $path }}}
            {{- end }}
      {{- end }}
      {{- range $values.blueprints.configMaps }}
      - configMap:
          {{- toYaml . | nindent 10 }}
      {{- end }}
{{- end }}
{{- with $values.customRootCA }}
{{- if .configMap }}
- name: authorities
  configMap: {name: {{ .configMap }}, items: [{key: {{ .key | quote }}, path: {{ .key | quote }}}]}
{{- else if .secret }}
- name: authorities
  secret: {secretName: {{ .secret }}, items: [{key: {{ .key | quote }}, path: {{ .key | quote }}}]}
{{- end }}
{{- end }}
{{- with $values.tls }}
{{- if .secret }}
- name: certificate
  secret:
    secretName: {{ .secret | quote }}
    items: [{key: {{ .cert | quote }}, path: {{ .cert | quote }}}, {key: {{ .key | quote }}, path: {{ .key | quote }}}]
{{- end }}
{{- end }}
{{- with $values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
