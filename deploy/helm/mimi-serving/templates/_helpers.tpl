{{- define "mimi.name" -}}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) }}
{{- $name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "mimi.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mimi.labels" -}}
{{ include "mimi.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "mimi.account" -}}
{{- .Values.serviceAccount.name | default (include "mimi.name" .) }}
{{- end }}

{{- define "mimi.shared" -}}
{{- if contains "://" .Values.store }}true{{ end }}
{{- end }}

{{- /* More than one replica on a path would be as many stores as pods. */ -}}
{{- define "mimi.check" -}}
{{- if not (include "mimi.shared" .) }}
{{- if or (gt (int .Values.replicas) 1) (ne .Values.autoscaling.kind "none") }}
{{- fail "several replicas need a store that they share: store must be the URL of an object store" }}
{{- end }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not .Values.metrics.secret) }}
{{- fail "serviceMonitor needs metrics.secret: the server asks for a key of kind metrics" }}
{{- end }}
{{- end }}
