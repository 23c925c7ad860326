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

{{- define "pipeline.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
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
terrace.dev/database: {{ include "pipeline.name" . }}
{{- end }}
