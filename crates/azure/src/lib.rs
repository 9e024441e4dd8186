//! The wire types of ARM and of `Microsoft.DataProtection`, and nothing else.
//!
//! A type is named as in the `definitions` of Azure's published specification, and its file is that
//! name in snake case, so that a search for the one finds the other. Members are written in the
//! order, with the nulls and in the casing of the real service's answers, which differ from the
//! specification in places; what is read is read leniently ([`mod@decode`]).
//!
//! This crate holds data without behaviour: no I/O, no clock, no validation beyond the types, and no
//! other crate of Coffer.

pub mod api_version;
pub mod backup_instance;
pub mod backup_job;
pub mod backup_policy;
pub mod backup_vault;
pub mod cloud_error;
mod cross_region;
pub mod data_store;
pub mod datasource;
pub mod decode;
pub mod deleted_backup_instance;
pub mod deleted_backup_vault;
pub mod duration;
pub mod export_jobs;
pub mod identity;
pub mod key_vault;
pub mod lifecycle;
pub mod operation_status;
pub mod page;
pub mod postgres_server;
pub mod recovery_point;
pub mod resource_guard;
pub mod resource_id;
pub mod restorable_time_ranges;
pub mod restore_request;
pub mod role;
pub mod storage_account;
mod tagged;
pub mod trigger;
pub mod user_facing_error;
pub mod vault_settings;

pub use api_version::{ApiVersion, ApiVersionError};
pub use backup_instance::{
    AdHocBackupRuleOptions, AdhocBackupTriggerOption, BackupInstance, BackupInstanceObjectType,
    BackupInstanceResource, CurrentProtectionState, PolicyInfo, PolicyParameters,
    ProtectionStatusDetails, StopProtectionRequest, SuspendBackupRequest,
    SyncBackupInstanceRequest, SyncType, TriggerBackupRequest, ValidateForBackupRequest,
    ValidateForModifyBackupRequest, ValidationType,
};
pub use backup_job::{
    AzureBackupJob, AzureBackupJobResource, JobExtendedInfo, JobSubTask,
    RestoreJobRecoveryPointDetails, UserFacingWarningDetail,
};
pub use backup_policy::{
    AzureBackupParams, AzureBackupRule, AzureRetentionRule, BackupParameters, BackupPolicy,
    BaseBackupPolicy, BaseBackupPolicyResource, BasePolicyRule,
};
pub use backup_vault::{
    BackupVault, BackupVaultResource, CheckNameAvailabilityRequest, CheckNameAvailabilityResult,
    FeatureValidationRequest, FeatureValidationRequestType, FeatureValidationResponse,
    FeatureValidationResponseType, PatchBackupVaultInput, PatchResourceRequestInput,
    StorageSetting, StorageType, SupportedFeature,
};
pub use cloud_error::{CloudError, Error, ErrorAdditionalInfo};
pub use cross_region::{
    CrossRegionRestoreDetails, CrossRegionRestoreJobRequest, CrossRegionRestoreJobsRequest,
    CrossRegionRestoreRequestObject, FetchSecondaryRPsRequestParameters,
    ValidateCrossRegionRestoreRequestObject,
};
pub use data_store::{DataStoreInfoBase, DataStoreInfoType, DataStoreType};
pub use datasource::{
    AuthCredentials, Datasource, DatasourceObjectType, DatasourceSet, DatasourceSetObjectType,
    SecretStoreBasedAuthCredentials, SecretStoreResource, SecretStoreType,
};
pub use decode::{DecodeError, canonical_name, decode, decode_value};
pub use deleted_backup_instance::{
    DeletedBackupInstance, DeletedBackupInstanceObjectType, DeletedBackupInstanceResource,
    DeletionInfo,
};
pub use deleted_backup_vault::{DeletedBackupVault, ResourceDeletionInfo};
pub use export_jobs::ExportJobsResult;
pub use identity::{DppIdentityDetails, IdentityDetails, IdentityType};
pub use lifecycle::{
    AbsoluteDeleteOption, CopyOnExpiryOption, CopyOption, CustomCopyOption, DeleteOption,
    ImmediateCopyOption, SourceLifeCycle, TargetCopySetting,
};
pub use operation_status::{
    OperationJobExtendedInfo, OperationJobExtendedInfoType, OperationResource, OperationStatus,
};
pub use page::Page;
pub use recovery_point::{
    AzureBackupDiscreteRecoveryPoint, AzureBackupRecoveryPoint, AzureBackupRecoveryPointResource,
    RecoveryPointDataStoreDetails, RecoveryPointState,
};
pub use resource_guard::{
    DppBaseResource, PatchResourceGuardInput, ResourceGuard, ResourceGuardOperation,
    ResourceGuardOperationDetail, ResourceGuardProxyBase, ResourceGuardProxyBaseResource,
    ResourceGuardResource, UnlockDeleteRequest, UnlockDeleteResponse,
};
pub use resource_id::{ResourceId, ResourceIdError};
pub use restorable_time_ranges::{
    AzureBackupFindRestorableTimeRangesRequest, AzureBackupFindRestorableTimeRangesResponse,
    AzureBackupFindRestorableTimeRangesResponseResource, RestorableTimeRange,
};
pub use restore_request::{
    AzureBackupRecoveryPointBasedRestoreRequest, AzureBackupRecoveryTimeBasedRestoreRequest,
    AzureBackupRehydrationRequest, AzureBackupRestoreRequest,
    AzureBackupRestoreWithRehydrationRequest, CofferRestoreOptions, ItemLevelRestoreTargetInfo,
    ItemPathBasedRestoreCriteria, MappedRole, RecoveryOption, RestoreFilesTargetInfo,
    RestoreTargetInfo, RestoreTargetInfoBase, RestoreTargetLocationType, RestoredPart,
    RestoredRoles, TargetDetails, ValidateRestoreRequestObject,
};
pub use trigger::{
    AbsoluteMarker, AdhocBasedTaggingCriteria, AdhocBasedTriggerContext, BackupCriteria,
    BackupSchedule, Day, RetentionTag, ScheduleBasedBackupCriteria, ScheduleBasedTriggerContext,
    TaggingCriteria, TriggerContext,
};
pub use user_facing_error::{InnerError, UserFacingError};
pub use vault_settings::{
    AzureMonitorAlertSettings, CmkKekIdentity, CmkKeyVaultProperties, CrossRegionRestoreSettings,
    CrossSubscriptionRestoreSettings, EncryptionSettings, FeatureSettings, ImmutabilitySettings,
    ImmutabilityState, MonitoringSettings, SecuritySettings, SoftDeleteSettings, SoftDeleteState,
};
