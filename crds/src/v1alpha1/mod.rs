//! `e2e.kubeflow.org/v1alpha1`.
#![allow(unreachable_pub, reason = "the KubeSchema derive makes a public type inside a function")]

pub mod condition;
pub mod duration;
pub mod gate;
pub mod kind;
pub mod reason;
pub mod resources;
pub mod source;
pub mod status;
pub mod test;
mod text_map;
pub mod toleration;

pub use condition::{ConditionType, find};
pub use duration::{DurationError, PositiveDuration, ZeroableDuration};
pub use gate::{Gate, IgnoredObjects};
pub use kind::{E2ETest, E2ETestSpec};
pub use reason::{GateReason, RunReason, TestReason};
pub use resources::{Amount, Resources};
pub use source::{ConfigMapKey, ImageProgram, Notebook, Script, Source};
pub use status::{
    AttemptStatus, CellSummary, ComponentStatus, E2ETestStatus, JobReference, KubeflowStatus, TestState,
    TestStatus,
};
pub use test::{EnvVariable, PodSecurity, ReceiptPolicy, Test};
pub use toleration::{TaintEffect, Toleration, TolerationOperator};
