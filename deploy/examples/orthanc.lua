-- Sends on every CT, CR and DX instance that did not come from the node itself.
function OnStoredInstance(instanceId, tags, metadata, origin)
  local wanted = { CT = true, CR = true, DX = true }
  if wanted[tags["Modality"]] and origin["RemoteAet"] ~= "DENOISE" then
    SendToModality(instanceId, "denoise")
  end
end
