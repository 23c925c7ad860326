{{/* Name of the pipeline in the names of its objects. A CronJob and a StatefulSet need eleven more characters. */}}
{{- define "pipeline.name" -}}
{{- $name := default .Release.Name .Values.name -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,39}[a-z0-9])?$" $name) -}}
{{- fail (printf "the name %s does not fit: set `name` to at most 41 small letters, digits and -" $name) -}}
{{- end -}}
{{- $name -}}
{{- end }}

{{- define "pipeline.fullname" -}}
terrace-{{ include "pipeline.name" . }}
{{- end }}

{{- define "pipeline.database" -}}
terrace-db-{{ include "pipeline.name" . }}
{{- end }}

{{- define "pipeline.databaseSecret" -}}
{{- default (include "pipeline.database" .) .Values.database.existingSecret -}}
{{- end }}

{{/* Labels of Helm for objects. */}}
{{- define "pipeline.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: pipeline
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels of the executor for the worker. */}}
{{- define "pipeline.workerLabels" -}}
{{- $id := regexReplaceAll "[^A-Za-z0-9_.-]" .Values.pipeline.job.elsewhere.pipeline "-" -}}
terrace.dev/pipeline: {{ trimAll "-_." $id | trunc 63 | trimAll "-_." | quote }}
terrace.dev/role: worker
{{- end }}

{{/* Labels of a Job of the CronJob, and of the worker's pods. Only those of the CronJob have its name. */}}
{{- define "pipeline.jobLabels" -}}
app.kubernetes.io/managed-by: terrace
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{ include "pipeline.workerLabels" .root }}
{{- if .isTimed }}
terrace.dev/cron-job: {{ include "pipeline.fullname" .root }}
{{- end }}
{{- end }}

{{- define "pipeline.workerAnnotations" -}}
terrace.dev/pipeline-id: {{ .Values.pipeline.job.elsewhere.pipeline | quote }}
terrace.dev/inputs: {{ .Values.pipeline.inputs | quote }}
{{- end }}

{{/* Name of the claim for results; empty without one. */}}
{{- define "pipeline.claim" -}}
{{- with .Values.volume.claim }}{{ . }}{{ else }}{{ if .Values.volume.create }}{{ include "pipeline.fullname" . }}{{ end }}{{ end -}}
{{- end }}

{{/* The job, as JSON. */}}
{{- define "pipeline.job" -}}
{{- $job := deepCopy .Values.pipeline.job -}}
{{- with .Values.worker.timeoutSeconds }}{{ $_ := set $job "timeout" (dict "secs" (int64 .) "nanos" 0) }}{{ end -}}
{{- $_ := set $job "environment" (merge (deepCopy .Values.worker.variables) $job.environment) -}}
{{- toJson $job -}}
{{- end }}

{{/* Name of the Secret with the job: another content has another name, as in the executor. */}}
{{- define "pipeline.secret" -}}
{{- $digest := printf "%s %s" (include "pipeline.job" .) .Values.pipeline.files | sha256sum | trunc 8 -}}
{{ include "pipeline.fullname" . }}-{{ $digest }}
{{- end }}

{{- define "pipeline.resources" -}}
{{- $all := dict -}}
{{- range $name, $amount := dict "cpu" .cpu "memory" .memory "ephemeral-storage" .disk -}}
{{- with $amount }}{{ $_ := set $all $name . }}{{ end -}}
{{- end -}}
{{- dict "requests" $all "limits" $all | toYaml -}}
{{- end }}

{{/* Security of pods of terrace; true for those with the claim. */}}
{{- define "pipeline.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
{{- if . }}
# The files of earlier runs belong to the group already, and may be many.
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Registry and nodes of pods of terrace. */}}
{{- define "pipeline.placement" -}}
{{- $all := dict -}}
{{- range $name := list "imagePullSecrets" "nodeSelector" "tolerations" "affinity" "priorityClassName" -}}
{{- with get $.Values.worker $name }}{{ $_ := set $all $name . }}{{ end -}}
{{- end -}}
{{- with $all }}{{ toYaml . }}{{ end -}}
{{- end }}

{{- define "pipeline.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "pipeline.site" -}}
terrace-site-{{ include "pipeline.name" . }}
{{- end }}

{{/* Labels of the executor for the site. */}}
{{- define "pipeline.siteLabels" -}}
terrace.dev/role: site
terrace.dev/site: {{ include "pipeline.name" . | quote }}
{{- end }}

{{/* The site for its pod, as JSON. */}}
{{- define "pipeline.siteRecord" -}}
{{- with .Values.site -}}
{{- dict "errorDocument" .errorDocument "cacheControl" .cacheControl "files" .overlay.pages "claimFolder" .folder | toJson -}}
{{- end -}}
{{- end }}

{{/* Name of the Secret with the site: another content has another name, as in the executor. */}}
{{- define "pipeline.siteSecret" -}}
{{- $digest := printf "%s %s" (include "pipeline.siteRecord" .) .Values.site.overlay.archive | sha256sum | trunc 16 -}}
{{ include "pipeline.site" . }}-{{ $digest }}
{{- end }}

{{- define "pipeline.pages" -}}
terrace-pages-{{ include "pipeline.name" . }}
{{- end }}

{{- define "pipeline.pagesLabels" -}}
terrace.dev/role: pages
terrace.dev/pages: {{ include "pipeline.name" . | quote }}
{{- end }}

{{- define "pipeline.pagesSecret" -}}
{{- default (include "pipeline.pages" .) .Values.pages.existingSecret -}}
{{- end }}

{{/* Refuses values that would not work, each with a remedy. */}}
{{- define "pipeline.refusals" -}}
{{- $job := .Values.pipeline.job -}}
{{- if and .Values.schedule.cron (not $job) -}}
{{- fail "schedule.cron is set, and there is no pipeline: `terrace pipelines chart PIPELINE` writes its values" -}}
{{- end -}}
{{- if and .Values.database.enabled (not .Values.database.image) -}}
{{- fail "database.image is required: docker.io/library/postgres@sha256:…" -}}
{{- end -}}
{{- with .Values.site -}}
{{- if .enabled -}}
{{- if not (include "pipeline.claim" $) -}}
{{- fail "the site shows files of a claim: set volume.claim, or volume.create" -}}
{{- end -}}
{{- if and $job (has "ReadWriteOncePod" $.Values.volume.accessModes) -}}
{{- fail "ReadWriteOncePod admits a single pod, and the site would keep the claim from the runs: use a claim with another access mode: an existing one in volume.claim, or a new one with volume.accessModes [ReadWriteOnce] or [ReadWriteMany] and another name" -}}
{{- end -}}
{{- if not .folder -}}
{{- fail "site.folder is required: name the folder on the claim, as in shop/data, or write it with `terrace pipelines chart PIPELINE --site`" -}}
{{- end -}}
{{- if not (default $.Values.worker.image .image) -}}
{{- fail "site.image is required: name the image of pipelines with its digest" -}}
{{- end -}}
{{- if and (or .ingressClass .tlsSecret .gateway) (not .host) -}}
{{- fail "site.host is required for an Ingress or an HTTPRoute" -}}
{{- end -}}
{{- if and .gateway (or .ingressClass .tlsSecret) -}}
{{- fail "site.gateway excludes ingressClass and tlsSecret, which are of an Ingress: the Gateway has the certificate" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .Values.pages.enabled -}}
{{- if not .Values.database.enabled -}}
{{- fail "the pages show the database of the chart: set database.enabled" -}}
{{- end -}}
{{- if not (default .Values.worker.image .Values.pages.image) -}}
{{- fail "pages.image is required: name the image of terrace or of pipelines with its digest" -}}
{{- end -}}
{{- end -}}
{{- if $job -}}
{{- if not .Values.worker.image -}}
{{- fail "worker.image is required: name the image of pipelines with its digest" -}}
{{- end -}}
{{- if and $job.elsewhere.claim (not (include "pipeline.claim" .)) -}}
{{- fail "the pipeline keeps its results on a claim: set volume.claim, or volume.create" -}}
{{- end -}}
{{- if and (not $job.elsewhere.claim) (include "pipeline.claim" .) -}}
{{- fail "the pipeline keeps no results on a claim, and the values name one: set `claim` in terrace.yaml, and run `terrace pipelines chart` again" -}}
{{- end -}}
{{- if and .Values.schedule.cron (eq .Values.schedule.overlap "allow") (not $job.elsewhere.claim) -}}
{{- fail "runs wait for each other on a claim, which the pipeline lacks: set schedule.overlap to forbid or replace, or `claim` in terrace.yaml, and run `terrace pipelines chart` again" -}}
{{- end -}}
{{- $missing := list -}}
{{- range .Values.pipeline.variables -}}
{{- $has := or $.Values.worker.secret (hasKey $.Values.worker.variables .) (and $.Values.database.enabled (eq . "DPP_DB_ENGINE")) -}}
{{- if not $has }}{{ $missing = append $missing . }}{{ end -}}
{{- end -}}
{{- if $missing -}}
{{- fail (printf "the steps read %s: set worker.secret to the name of a Secret with these keys" (join ", " $missing)) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Labels of the executor for the database. */}}
{{- define "pipeline.databaseLabels" -}}
terrace.dev/role: db
terrace.dev/database: {{ include "pipeline.name" . | quote }}
{{- end }}
