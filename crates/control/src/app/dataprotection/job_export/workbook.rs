//! Jobs as a workbook (Office Open XML), as little of one as spreadsheets open: one sheet of texts, in a ZIP archive without
//! compression.
//!
//! Every cell is a text, never a formula, whatever a name looks like.

use coffer_azure::duration::format_time_trimmed;

use crate::db::job::{Job, JobKind};

const HEADINGS: [&str; 11] = [
    "Job",
    "Operation",
    "Status",
    "Start time (UTC)",
    "End time (UTC)",
    "Backup instance",
    "Datasource",
    "Datasource id",
    "Policy",
    "Triggered by",
    "Error codes",
];

const CONTENT_TYPES: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\
<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\">\
<Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>\
<Override PartName=\"/xl/workbook.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml\"/>\
<Override PartName=\"/xl/worksheets/sheet1.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml\"/>\
</Types>";
const PACKAGE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\
<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">\
<Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" Target=\"xl/workbook.xml\"/>\
</Relationships>";
const WORKBOOK: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\
<workbook xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" \
xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\">\
<sheets><sheet name=\"Backup jobs\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>";
const SHEETS: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\
<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">\
<Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet\" Target=\"worksheets/sheet1.xml\"/>\
</Relationships>";

/// The workbook's bytes.
pub(super) fn of(jobs: &[Job]) -> Vec<u8> {
    let mut archive = Archive::default();
    archive.add("[Content_Types].xml", CONTENT_TYPES.as_bytes());
    archive.add("_rels/.rels", PACKAGE.as_bytes());
    archive.add("xl/workbook.xml", WORKBOOK.as_bytes());
    archive.add("xl/_rels/workbook.xml.rels", SHEETS.as_bytes());
    archive.add("xl/worksheets/sheet1.xml", sheet(jobs).as_bytes());
    archive.finish()
}

fn sheet(jobs: &[Job]) -> String {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\
         <worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetData>",
    );
    row(&mut text, &HEADINGS.map(str::to_owned));
    for job in jobs {
        row(&mut text, &cells(job));
    }
    text.push_str("</sheetData></worksheet>");
    text
}

fn cells(job: &Job) -> [String; HEADINGS.len()] {
    let body = &job.body;
    let operation = match body.kind {
        JobKind::Backup => "Backup",
        JobKind::Restore => "Restore",
    };
    let codes: Vec<&str> = body.errors.iter().filter_map(|error| error.code.as_deref()).collect();
    let policy = body.policy.rsplit('/').next().unwrap_or_default();
    [
        job.id.clone(),
        operation.to_owned(),
        job.status.as_str().to_owned(),
        format_time_trimmed(job.started_us),
        job.ended_us.map(format_time_trimmed).unwrap_or_default(),
        body.friendly_name.clone(),
        body.datasource_name.clone(),
        body.datasource.clone(),
        policy.to_owned(),
        if body.user_triggered { "User" } else { "Schedule" }.to_owned(),
        codes.join(", "),
    ]
}

fn row(text: &mut String, cells: &[String]) {
    text.push_str("<row>");
    for cell in cells {
        text.push_str("<c t=\"inlineStr\"><is><t xml:space=\"preserve\">");
        escape(text, cell);
        text.push_str("</t></is></c>");
    }
    text.push_str("</row>");
}

/// What XML cannot hold becomes a replacement character.
fn escape(text: &mut String, cell: &str) {
    for c in cell.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '\t' | '\n' | '\r' => text.push(c),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => text.push('\u{fffd}'),
            _ => text.push(c),
        }
    }
}

/// A ZIP archive whose members are stored as they are.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    members: u16,
}

impl Archive {
    fn add(&mut self, name: &str, content: &[u8]) {
        let offset = length(self.bytes.len());
        let mut common = Vec::new();
        // Version 2.0, names in UTF-8, stored, 1980-01-01 00:00.
        for field in [20_u16, 0x0800, 0, 0, 0x21] {
            common.extend(field.to_le_bytes());
        }
        common.extend(crc32(content).to_le_bytes());
        common.extend(length(content.len()).to_le_bytes());
        common.extend(length(content.len()).to_le_bytes());
        common.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
        common.extend(0_u16.to_le_bytes());
        self.bytes.extend(b"PK\x03\x04");
        self.bytes.extend(&common);
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(content);
        self.directory.extend(b"PK\x01\x02");
        self.directory.extend(20_u16.to_le_bytes());
        self.directory.extend(&common);
        // No comment, disk 0, no attributes.
        self.directory.extend([0; 10]);
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.members += 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let (offset, size) = (length(self.bytes.len()), length(self.directory.len()));
        self.bytes.append(&mut self.directory);
        self.bytes.extend(b"PK\x05\x06\0\0\0\0");
        self.bytes.extend(self.members.to_le_bytes());
        self.bytes.extend(self.members.to_le_bytes());
        self.bytes.extend(size.to_le_bytes());
        self.bytes.extend(offset.to_le_bytes());
        self.bytes.extend([0; 2]);
        self.bytes
    }
}

/// Far below 4 GiB: [`super::EXPORTED_JOBS_MAX`] jobs of bounded length.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The checksum of ZIP (CRC-32, polynomial 0xEDB88320).
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { (value >> 1) ^ 0xedb8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    !bytes
        .iter()
        .fold(u32::MAX, |crc, byte| (crc >> 8) ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn nothing_breaks_out_of_its_cell() {
        let mut text = String::new();
        row(&mut text, &["=1+1</t>&\u{1}".to_owned()]);
        assert_eq!(
            text,
            "<row><c t=\"inlineStr\"><is><t xml:space=\"preserve\">=1+1&lt;/t&gt;&amp;\u{fffd}</t></is></c></row>"
        );
    }
}
