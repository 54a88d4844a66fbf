{{/* The chart's name, short enough for a label. */}}
{{- define "negset.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
The name of every object: the release's name, with the chart's name if the release's does not
contain it. 50 characters leave room for suffixes.
*/}}
{{- define "negset.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "negset.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "negset.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "negset.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "negset.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "negset.selectorLabels" -}}
app.kubernetes.io/name: {{ include "negset.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "negset.labels" -}}
{{ include "negset.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: negset
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* An image reference. The argument is a list of {repository, tag, digest} and the root. */}}
{{- define "negset.image" -}}
{{- $image := index . 0 -}}
{{- $root := index . 1 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default $root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The operator's configuration file: the value `config`, and what other values decide. */}}
{{- define "negset.config" -}}
{{- if hasKey .Values.config.networks "allowed" -}}
{{- fail "config.networks.allowed: expected config.networks.images (networks of images and annotations) and config.networks.stores (networks of object stores), which took its place, got config.networks.allowed; move each network to one of them" -}}
{{- end -}}
{{- $decided := dict
  "namespaces" .Values.watchNamespaces
  "images" (dict
    "jobs" (include "negset.image" (list .Values.jobs.image .))
    "trainer" (include "negset.image" (list .Values.trainer.image .))
    "pullPolicy" .Values.jobs.imagePullPolicy
    "pullSecrets" .Values.jobs.imagePullSecrets) -}}
{{- toYaml (merge $decided .Values.config) -}}
{{- end -}}

{{/*
What the operator may do to what it watches. It reads its children and writes them by server-side
apply (create and patch). It never reads a Secret: the jobs name theirs, and only the kubelet reads
it. It may write the status of a NegativeDataset because it grants each job the right to write that
of its own object, and Kubernetes lets no client grant a right that it does not have.
*/}}
{{- define "negset.rules" -}}
- apiGroups: [negset.dev]
  resources: [negativedatasets]
  verbs: [get, list, watch, patch]
- apiGroups: [negset.dev]
  resources: [negativedatasets/status]
  verbs: [get, patch]
# So that children may block the deletion of their owner, if the cluster enforces who may.
- apiGroups: [negset.dev]
  resources: [negativedatasets/finalizers]
  verbs: [update]
- apiGroups: [ray.io]
  resources: [rayjobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps, services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
# Pods and events show why a child does not start. A pod of a Ray cluster on a lost node is deleted,
# because KubeRay would wait for it without end.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
# Only Kueue's Workload shows why Kueue does not admit a child.
- apiGroups: [kueue.x-k8s.io]
  resources: [workloads]
  verbs: [list]
{{- end -}}
