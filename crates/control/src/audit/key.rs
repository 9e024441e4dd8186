//! The key of the chain: random, kept in the metadata store sealed by the master key.

use aws_lc_rs::rand;
use coffer_store::MasterKey;
use zeroize::Zeroizing;

use crate::db::audit::{ChainKey, KEY_BYTES};
use crate::db::{Tx, setting};
use crate::error::Error;
use crate::identity::sealing;

const SETTING: &str = "audit-key";
const PURPOSE: &str = "settings/audit-key";

/// Reads the installation's key, or makes and stores it at the first start.
pub(crate) async fn load_or_create(tx: &mut Tx, master_key: &MasterKey) -> Result<ChainKey, Error> {
    if let Some(sealed) = setting::get(&mut **tx, SETTING).await? {
        let bytes = sealing::open(master_key, PURPOSE, &sealed)?;
        let bytes = <&[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(Error::internal)?;
        return Ok(ChainKey::new(bytes));
    }
    let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
    rand::fill(bytes.as_mut_slice()).map_err(|_| Error::internal("no randomness"))?;
    let sealed = sealing::seal(master_key, PURPOSE, bytes.as_slice())?;
    setting::set(tx, SETTING, &sealed).await?;
    Ok(ChainKey::new(&bytes))
}
