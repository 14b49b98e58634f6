-- Placement mode of `lepton-rl attach slurm`: every new job is held and marked, users' sbatch stays
-- as it is. Put it beside slurm.conf and set JobSubmitPlugins=lua there.
--
-- Jobs are held only while an attachment is alive: it writes the time into the heartbeat file each
-- round. When it has died, new jobs go straight to Slurm; `lepton-rl attach slurm --release-all`
-- frees those that are held already.

local heartbeat = "/var/lib/lepton-rl/slurm/heartbeat"
local patience_s = 60

local function somebody_is_there()
  local file = io.open(heartbeat, "r")
  if file == nil then
    return false
  end
  local beat = tonumber(file:read("*l"))
  file:close()
  return beat ~= nil and os.time() - beat <= patience_s
end

function slurm_job_submit(job, partitions, user)
  local is_held_by_its_user = job.priority == 0
  if somebody_is_there() and not is_held_by_its_user then
    job.priority = 0
    job.admin_comment = "lepton-rl"
  end
  return slurm.SUCCESS
end

function slurm_job_modify(job, record, partitions, user)
  return slurm.SUCCESS
end

return slurm.SUCCESS
