{{/* The Job of each start, as the executor has it for schedules: terrace does not wait for it. */}}
{{- define "pipeline.jobSpec" -}}
{{- $labels := include "pipeline.jobLabels" . -}}
{{- with .root -}}
{{- $job := .Values.pipeline.job -}}
{{- $claim := include "pipeline.claim" . -}}
{{- $secret := include "pipeline.secret" . -}}
{{- $hasVariables := or .Values.worker.secret .Values.database.enabled -}}
backoffLimit: {{ .Values.worker.retries }}
{{- with .Values.worker.timeoutSeconds }}
# For a pod that cannot start or does not answer: the pod itself ends the steps.
activeDeadlineSeconds: {{ add . $job.grace.secs 600 3600 }}
{{- end }}
podFailurePolicy:
  rules:
    # Failures of nodes do not count, and neither does a deleted pod.
    - action: Ignore
      onPodConditions: [{type: DisruptionTarget, status: "True"}]
    - action: Ignore
      onExitCodes: {containerName: run, operator: In, values: [130, 143]}
    {{- if not .Values.worker.retryFailedSteps }}
    - action: FailJob
      onExitCodes: {containerName: run, operator: In, values: [3]}
    {{- end }}
template:
  metadata:
    labels:
      {{- $labels | nindent 6 }}
    annotations:
      {{- include "pipeline.workerAnnotations" . | nindent 6 }}
  spec:
    restartPolicy: Never
    automountServiceAccountToken: false
    enableServiceLinks: false
    terminationGracePeriodSeconds: {{ add $job.grace.secs 10 }}
    securityContext:
      {{- include "pipeline.podSecurity" (not (empty $claim)) | nindent 6 }}
    {{- with include "pipeline.placement" . }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- if .Values.database.enabled }}
    initContainers:
      # The first run may start together with the database.
      - name: wait
        image: {{ .Values.database.image | quote }}
        imagePullPolicy: IfNotPresent
        command:
          - /bin/sh
          - -c
          - |
            for try in $(seq 300); do
              pg_isready -q -t 1 -h {{ include "pipeline.database" . }} -U postgres && exit 0
              sleep 1
            done
            echo 'the database does not accept connections' >&2
            exit 1
        resources:
          {{- include "pipeline.resources" .Values.worker | nindent 10 }}
        securityContext:
          {{- include "pipeline.containerSecurity" . | nindent 10 }}
    {{- end }}
    containers:
      - name: run
        image: {{ .Values.worker.image | quote }}
        imagePullPolicy: IfNotPresent
        command: [/usr/local/bin/terrace, pipelines, pod, run]
        workingDir: /tmp
        resources:
          {{- include "pipeline.resources" .Values.worker | nindent 10 }}
        securityContext:
          {{- include "pipeline.containerSecurity" . | nindent 10 }}
        volumeMounts:
          - {name: job, mountPath: /terrace/job, readOnly: true}
          - {name: files, mountPath: /terrace/files, readOnly: true}
          {{- if $claim }}
          - {name: results, mountPath: /terrace/results}
          {{- end }}
          {{- range $number, $folder := concat (list "/tmp" "/environments") $job.elsewhere.folders }}
          - {name: folder-{{ $number }}, mountPath: {{ $folder | quote }}}
          {{- end }}
          - {name: run, mountPath: /terrace/run, readOnly: true}
          {{- if $hasVariables }}
          - {name: variables, mountPath: /terrace/variables, readOnly: true}
          {{- end }}
    volumes:
      - {name: job, secret: {secretName: {{ $secret }}, defaultMode: {{ 0440 }}}}
      - {name: files, secret: {secretName: {{ $secret }}-files, defaultMode: {{ 0440 }}}}
      {{- if $claim }}
      - {name: results, persistentVolumeClaim: {claimName: {{ $claim | quote }}}}
      {{- end }}
      {{- range $number, $folder := concat (list "/tmp" "/environments") $job.elsewhere.folders }}
      - {name: folder-{{ $number }}, emptyDir: {}}
      {{- end }}
      # The pod takes the id of its run from its Job.
      - name: run
        downwardAPI:
          items:
            - {path: id, fieldRef: {apiVersion: v1, fieldPath: "metadata.labels['batch.kubernetes.io/controller-uid']"}}
      {{- if $hasVariables }}
      - name: variables
        projected:
          defaultMode: {{ 0440 }}
          sources:
            {{- with .Values.worker.secret }}
            - secret: {name: {{ . | quote }}}
            {{- end }}
            {{- if .Values.database.enabled }}
            - secret: {name: {{ include "pipeline.databaseSecret" . | quote }}, items: [{key: DPP_DB_ENGINE, path: DPP_DB_ENGINE}]}
            {{- end }}
      {{- end }}
{{- end }}
{{- end }}
