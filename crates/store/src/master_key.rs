use std::path::Path;
use crate::Result;
/// The key that wraps every vault's key.
#[derive(Debug, Clone)]
pub struct MasterKey;
impl MasterKey {
    /// A new random key.
    pub fn generate() -> Result<Self> { todo!() }
    /// Reads a key file.
    pub fn read_file(_path: &Path) -> Result<Self> { todo!() }
    /// Writes a key file, mode 0600; refuses to replace one.
    pub fn write_file(&self, _path: &Path) -> Result<()> { todo!() }
    /// Public fingerprint, 32 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String { todo!() }
}
