{{/*
A hook that runs the binary once: a dict of `context`, `name`, `hooks`, `weight`, `arguments`, `account`, and `values`
with `backoffLimit`, `activeDeadlineSeconds` and `resources`. It needs a separate ConfigMap: before an install the
release has none yet, and before an upgrade the ConfigMap of the release has the old values.
*/}}
{{- define "terrace.job" -}}
{{- $context := .context -}}
{{- $full := printf "%s-%s" (include "terrace.fullname" $context) .name -}}
{{- with .values.resources -}}
{{- $context = dict "Values" (merge (dict "resources" (deepCopy .)) $.context.Values) "Chart" $.context.Chart "Release" $.context.Release -}}
{{- end -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $full }}
  labels:
    {{- include "terrace.labels" .context | nindent 4 }}
  annotations:
    helm.sh/hook: {{ .hooks }}
    helm.sh/hook-weight: {{ sub .weight 1 | quote }}
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
data:
  {{- include "terrace.files" .context | nindent 2 }}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $full }}
  labels:
    {{- include "terrace.labels" .context | nindent 4 }}
  annotations:
    helm.sh/hook: {{ .hooks }}
    helm.sh/hook-weight: {{ .weight | quote }}
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  backoffLimit: {{ .values.backoffLimit }}
  activeDeadlineSeconds: {{ .values.activeDeadlineSeconds }}
  template:
    metadata:
      labels:
        {{- include "terrace.releaseLabels" .context | nindent 8 }}
        app.kubernetes.io/component: {{ .name }}
        {{- with .context.Values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      {{- include "terrace.podBasics" .context | trim | nindent 6 }}
      serviceAccountName: {{ .account }}
      restartPolicy: Never
      containers:
        - name: {{ .name }}
          {{- include "terrace.containerBasics" $context | nindent 10 }}
          args: [{{ join ", " .arguments }}]
      volumes:
        - name: project
          emptyDir: {}
        {{- include "terrace.volumes" (dict "context" .context "configMap" $full) | nindent 8 }}
{{- end }}
