//! What frameworks and agents can do, as sets of flags read from their capability lists.

use messor_proto::mesos::{agent_info, framework_info};

macro_rules! capabilities {
    ($(#[$doc:meta])* $name:ident, $proto:ty, $kind:ty, { $($field:ident: $variant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $(pub $field: bool,)*
        }

        impl $name {
            /// Capabilities that this version does not know are passed over.
            pub fn from_proto<'a>(list: impl IntoIterator<Item = &'a $proto>) -> $name {
                let mut result = $name::default();
                for capability in list {
                    match capability.r#type.and_then(|kind| <$kind>::try_from(kind).ok()) {
                        $(Some(<$kind>::$variant) => result.$field = true,)*
                        Some(<$kind>::Unknown) | None => {}
                    }
                }
                result
            }
        }
    };
}

capabilities! {
    FrameworkCapabilities, framework_info::Capability, framework_info::capability::Type, {
        revocable_resources: RevocableResources,
        task_killing_state: TaskKillingState,
        gpu_resources: GpuResources,
        shared_resources: SharedResources,
        partition_aware: PartitionAware,
        multi_role: MultiRole,
        reservation_refinement: ReservationRefinement,
        region_aware: RegionAware,
    }
}

capabilities! {
    AgentCapabilities, agent_info::Capability, agent_info::capability::Type, {
        multi_role: MultiRole,
        hierarchical_role: HierarchicalRole,
        reservation_refinement: ReservationRefinement,
        resource_provider: ResourceProvider,
        resize_volume: ResizeVolume,
        agent_operation_feedback: AgentOperationFeedback,
        agent_draining: AgentDraining,
        task_resource_limits: TaskResourceLimits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_capabilities_are_passed_over() {
        let capability = |kind| framework_info::Capability { r#type: kind };
        let list = [capability(Some(3)), capability(Some(6)), capability(Some(99)), capability(None)];
        let found = FrameworkCapabilities::from_proto(&list);
        assert!(found.gpu_resources && found.multi_role && !found.shared_resources);
    }
}
