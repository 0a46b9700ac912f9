//! Why `mesos-execute` waits: where no offer comes, what the master tells of its agents and of the role says why.

use messor_proto::mesos::FrameworkInfo;
use messor_proto::mesos::framework_info::capability;
use messor_proto::mesos::master::call::Type;
use messor_proto::mesos::master::response::GetAgents;
use messor_proto::mesos::master::response::get_agents::Agent;
use messor_proto::mesos::quota::QuotaConfig;
use messor_types::{ResourceName, Resources, Role};

use crate::console::{Api, ApiError, Settings};
use crate::master::Address;

/// What is waited for.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub framework: FrameworkInfo,
    pub required: Resources,
    /// Offers came, which were too small.
    pub was_offered: bool,
}

impl Wanted {
    /// Asks the master, and answers with a sentence for the one who waits.
    pub fn reason(&self, master: &Address, authorization: Option<String>) -> Result<String, ApiError> {
        let settings = Settings { authorization, ..Settings::of_master(&master.to_string(), "--master") };
        let mut api = Api::new(&settings)?;
        let agents = api.ask(Type::GetAgents)?.get_agents.unwrap_or_default();
        let quota =
            api.ask(Type::GetQuota)?.get_quota.map(|answer| answer.status.configs).unwrap_or_default();
        Ok(self.judge(&agents, &quota))
    }

    fn role(&self) -> &str {
        self.framework.role.as_deref().unwrap_or("*")
    }

    fn judge(&self, agents: &GetAgents, quota: &[QuotaConfig]) -> String {
        let required = &self.required;
        if agents.agents.is_empty() {
            return match agents.recovered_agents.len() {
                0 => "no agent is registered with this master".to_owned(),
                1 => "one agent has not come back yet since the master started, and there is no other"
                    .to_owned(),
                count => format!("{count} agents have not come back yet since the master started"),
            };
        }
        let active: Vec<&Agent> = agents
            .agents
            .iter()
            .filter(|agent| agent.active && !agent.deactivated() && agent.drain_info.is_none())
            .collect();
        if active.is_empty() {
            return format!(
                "no agent takes tasks: all {} are disconnected, deactivated or draining; 'mesos agent list' shows them",
                agents.agents.len()
            );
        }
        let all = |agent: &Agent| self.usable(&agent.total_resources);
        if !active.iter().any(|agent| fits(&all(agent), required)) {
            let largest =
                active.iter().map(|agent| all(agent)).max_by(|one, other| one.cpus().cmp(&other.cpus()));
            let reserved = active.iter().any(|agent| {
                fits(&Resources::from_proto(&agent.total_resources).unwrap_or_default(), required)
            });
            let hint = if reserved {
                format!("; what other roles than '{}' have reserved is not offered to it", self.role())
            } else {
                String::new()
            };
            return format!(
                "no agent is large enough: the task needs {required}, and the one with the most cpus has {} for role '{}'{hint}",
                largest.unwrap_or_default().to_unreserved(),
                self.role()
            );
        }
        if let Some(limit) = self.limit(quota) {
            return limit;
        }
        let has_gpus = |agent: &Agent| all(agent).gpus().is_some_and(|gpus| !gpus.is_zero());
        let takes_gpus =
            self.framework.capabilities.iter().any(|one| one.r#type() == capability::Type::GpuResources);
        if !takes_gpus
            && active.iter().filter(|agent| fits(&all(agent), required)).all(|agent| has_gpus(agent))
        {
            return "agents with GPUs are offered with --framework_capabilities=GPU_RESOURCES alone"
                .to_owned();
        }
        let free = |agent: &Agent| {
            let mut left = all(agent);
            for used in [&agent.allocated_resources, &agent.offered_resources] {
                let used = Resources::from_proto(used).unwrap_or_default().unallocated();
                used.iter().for_each(|resource| left.subtract(resource));
            }
            left
        };
        if !active.iter().any(|agent| fits(&free(agent), required)) {
            let most =
                active.iter().map(|agent| free(agent)).max_by(|one, other| one.cpus().cmp(&other.cpus()));
            let most = most.unwrap_or_default().to_unreserved();
            let most = if most.is_empty() { "nothing".to_owned() } else { most.to_string() };
            return format!(
                "all that is large enough is in use or offered to others: the task needs {required}, and at most {most} is free \
                 on one agent"
            );
        }
        "the master has room for it, and may offer it soon; else guarantees of other roles keep it free ('mesos quota list')"
            .to_owned()
    }

    /// What is not reserved to others.
    fn usable(&self, list: &[messor_proto::mesos::Resource]) -> Resources {
        let role = Role::new(self.role());
        let all = Resources::from_proto(list).unwrap_or_default().unallocated();
        all.filter(|one| one.reservation_role().is_none_or(|of| *of == role || role.is_strict_subrole_of(of)))
    }

    /// That a limit of the role, or of one above it, lets such a task never run.
    fn limit(&self, quota: &[QuotaConfig]) -> Option<String> {
        let role = Role::new(self.role());
        let of = |config: &&QuotaConfig| {
            config.role == self.role() || role.is_strict_subrole_of(&Role::new(&config.role))
        };
        for config in quota.iter().filter(of) {
            for (name, limit) in &config.limits {
                let needed = self.required.scalar(&ResourceName::new(name)).unwrap_or_default();
                if needed.to_f64() > limit.value {
                    return Some(format!(
                        "role '{}' may have no more than {name}:{}, and the task needs {name}:{needed}; 'mesos quota set' \
                         changes that",
                        config.role, limit.value
                    ));
                }
            }
        }
        None
    }
}

fn fits(room: &Resources, required: &Resources) -> bool {
    room.to_unreserved().contains(required)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use messor_proto::mesos::value;
    use messor_types::{ResourceFormat, parse_resources};

    use super::*;

    fn wanted(role: &str, required: &str) -> Wanted {
        Wanted {
            framework: FrameworkInfo { role: Some(role.to_owned()), ..FrameworkInfo::default() },
            required: parse_resources(required, &Role::star()).unwrap(),
            was_offered: false,
        }
    }

    fn agent(total: &str, used: &str) -> Agent {
        let proto = |text: &str| {
            parse_resources(text, &Role::star()).unwrap().to_proto(ResourceFormat::PostRefinement)
        };
        Agent {
            active: true,
            total_resources: proto(total),
            allocated_resources: if used.is_empty() { Vec::new() } else { proto(used) },
            ..Agent::default()
        }
    }

    #[test]
    fn each_reason_is_told() {
        let task = wanted("web", "cpus:1;mem:64");
        let judge = |agents: Vec<Agent>| task.judge(&GetAgents { agents, ..GetAgents::default() }, &[]);
        assert!(judge(Vec::new()).contains("no agent is registered"));
        let recovering = GetAgents { recovered_agents: vec![Default::default(); 2], ..GetAgents::default() };
        assert!(task.judge(&recovering, &[]).contains("2 agents have not come back"));
        assert!(
            judge(vec![Agent { active: false, ..agent("cpus:4;mem:64", "") }])
                .contains("no agent takes tasks")
        );
        let small = judge(vec![agent("cpus:0.5;mem:64", ""), agent("cpus:0.2;mem:640", "")]);
        assert!(small.contains("no agent is large enough") && small.contains("cpus:0.5"), "{small}");
        assert!(judge(vec![agent("cpus(db):4;mem(db):640", "")]).contains("other roles than 'web'"));
        let full = judge(vec![agent("cpus:4;mem:640", "cpus:3.5;mem:64")]);
        assert!(full.contains("in use") && full.contains("cpus:0.5"), "{full}");
        assert!(judge(vec![agent("cpus:4;mem:640;gpus:1", "")]).contains("GPU_RESOURCES"));
        assert!(judge(vec![agent("cpus:4;mem:640", "")]).contains("may offer it soon"));
    }

    #[test]
    fn a_limit_of_the_role_is_told() {
        let task = wanted("web/front", "cpus:2;mem:64");
        let limits = BTreeMap::from([("cpus".to_owned(), value::Scalar { value: 1.0 })]);
        let quota = QuotaConfig { role: "web".to_owned(), limits, ..QuotaConfig::default() };
        let agents = GetAgents { agents: vec![agent("cpus:4;mem:640", "")], ..GetAgents::default() };
        let told = task.judge(&agents, &[quota]);
        assert!(told.contains("role 'web' may have no more than cpus:1"), "{told}");
    }
}
