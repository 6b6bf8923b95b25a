{{- define "portal.labels" -}}
app.kubernetes.io/name: portal
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "portal.selector" -}}
app.kubernetes.io/name: portal
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "portal.image" -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- end }}

{{- define "portal.environment" -}}
- {name: PORTAL_HOST, value: {{ .Values.hostName | quote }}}
- name: PORTAL_PROBE_HOSTS
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- {name: PORTAL_KEY_FILE, value: /run/secrets/portal/key}
- {name: PORTAL_TIME_ZONE, value: {{ .Values.timeZone | quote }}}
- {name: DATABASE_HOST, value: {{ .Values.database.host | quote }}}
- {name: DATABASE_PORT, value: {{ .Values.database.port | quote }}}
- {name: DATABASE_NAME, value: {{ .Values.database.name | quote }}}
- {name: DATABASE_USER, value: {{ .Values.database.user | quote }}}
- {name: DATABASE_PASSWORD_FILE, value: /run/secrets/database/password}
- {name: ROOT_CERTIFICATE, value: /etc/smartgouv/root.crt}
- {name: CATALOGUE_FILE, value: /etc/portal/catalogue.json}
- {name: XROAD_URL, value: {{ .Values.exchange.url | quote }}}
- {name: XROAD_CLIENT, value: {{ .Values.exchange.client | quote }}}
{{- end }}

{{- define "portal.mounts" -}}
- {name: database-password, mountPath: /run/secrets/database, readOnly: true}
- {name: key, mountPath: /run/secrets/portal, readOnly: true}
- {name: root, mountPath: /etc/smartgouv, readOnly: true}
- {name: catalogue, mountPath: /etc/portal, readOnly: true}
- {name: temporary, mountPath: /tmp}
{{- end }}

{{- define "portal.volumes" -}}
- name: database-password
  secret:
    secretName: {{ .Values.database.passwordSecret.name }}
    items: [{key: {{ .Values.database.passwordSecret.key }}, path: password}]
- name: key
  secret:
    secretName: {{ .Values.keySecret.name }}
    items: [{key: {{ .Values.keySecret.key }}, path: key}]
- name: root
  configMap: {name: {{ .Values.caBundle }}}
- name: catalogue
  configMap: {name: {{ .Release.Name }}-catalogue}
- name: temporary
  emptyDir: {medium: Memory, sizeLimit: 16Mi}
{{- end }}

{{- define "portal.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "portal.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "portal.exchangePort" -}}
{{ urlParse .Values.exchange.url | dig "host" "" | splitList ":" | last }}
{{- end }}
