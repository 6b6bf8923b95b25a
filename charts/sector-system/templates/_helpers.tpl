{{- define "sector-system.labels" -}}
app.kubernetes.io/name: sector-system
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "sector-system.selector" -}}
app.kubernetes.io/name: sector-system
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sector-system.image" -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- end }}

{{- define "sector-system.environment" -}}
- {name: SECTOR, value: {{ .Values.sector | quote }}}
- {name: DATABASE_HOST, value: {{ .Values.database.host | quote }}}
- {name: DATABASE_PORT, value: {{ .Values.database.port | quote }}}
- {name: DATABASE_NAME, value: {{ .Values.database.name | quote }}}
- {name: DATABASE_USER, value: {{ .Values.database.user | quote }}}
- {name: DATABASE_PASSWORD_FILE, value: /run/secrets/database/password}
- {name: DATABASE_ROOT_CERTIFICATE, value: /etc/smartgouv/root.crt}
{{- end }}

{{- define "sector-system.mounts" -}}
- {name: database-password, mountPath: /run/secrets/database, readOnly: true}
- {name: root, mountPath: /etc/smartgouv, readOnly: true}
{{- end }}

{{- define "sector-system.volumes" -}}
- name: database-password
  secret:
    secretName: {{ .Values.database.passwordSecret.name }}
    items: [{key: {{ .Values.database.passwordSecret.key }}, path: password}]
- name: root
  configMap: {name: {{ .Values.caBundle }}}
{{- end }}

{{- define "sector-system.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "sector-system.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}
