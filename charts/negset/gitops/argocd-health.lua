-- The health of a NegativeDataset in Argo CD, read from its kstatus conditions.
-- README.md beside this file says how to install it: in the ConfigMap argocd-cm, under the key
-- resource.customizations.health.negset.dev_NegativeDataset.
-- Argo CD's Lua has the base and table libraries, but no string library.

local status = obj.status or {}

local function condition(kind)
  for _, candidate in ipairs(status.conditions or {}) do
    if candidate.type == kind then
      return candidate
    end
  end
  return {}
end

local function health(verdict, message)
  return { status = verdict, message = message or "" }
end

local ready, stalled, reconciling = condition("Ready"), condition("Stalled"), condition("Reconciling")

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "Being deleted")
end
if status.observedGeneration == nil then
  return health("Progressing", "Waiting for the operator")
end
if status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "Waiting for the operator to see the latest change")
end
if stalled.status == "True" then
  return health("Degraded", stalled.message)
end
if ready.status == "True" then
  return health("Healthy", ready.message)
end
if obj.spec.suspend == true and reconciling.status ~= "True" then
  return health("Suspended", ready.message)
end
return health("Progressing", reconciling.message or ready.message)
