//! Blueprints that are compiled into a provider.

/// The files of the crate's `blueprints` folder with these paths, as an array of [`EmbeddedFile`](crate::EmbeddedFile).
#[macro_export]
macro_rules! embedded_blueprints {
    ($($path:literal),* $(,)?) => {
        [$($crate::EmbeddedFile {
            path: $path,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/blueprints/", $path)),
        }),*]
    };
}

/// The mistakes in a provider's embedded blueprints, for its tests. `folder` is its `blueprints` folder. Every file in
/// it must be embedded, except tests, and every blueprint needs a schema that declares its JSON Schema draft.
///
/// # Errors
/// When the folder cannot be read.
#[cfg(feature = "conformance")]
pub fn faults(folder: &std::path::Path, embedded: &[crate::EmbeddedFile]) -> std::io::Result<Vec<String>> {
    let mut faults = Vec::new();
    for part in ["", "specific"] {
        let folder_of_part = folder.join(part);
        if !folder_of_part.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(folder_of_part)? {
            let path = entry?.path();
            let relative = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            let is_test = relative.ends_with(".test.yaml");
            if path.is_file() && !is_test && !embedded.iter().any(|file| file.path == relative) {
                faults.push(format!("{relative} is not embedded"));
            }
        }
    }
    for blueprint in embedded.iter().filter(|file| file.path.ends_with(".yaml")) {
        let Some(named) = blueprint.text.lines().find_map(|line| line.strip_prefix("specific: ")) else { continue };
        let Some(schema) = embedded.iter().find(|file| file.path == named) else {
            faults.push(format!("{}: {named} is not embedded", blueprint.path));
            continue;
        };
        let draft = serde_json::from_str(schema.text).ok().and_then(|schema: serde_json::Value| {
            schema.get("$schema").and_then(serde_json::Value::as_str).map(str::to_owned)
        });
        if draft.as_deref() != Some("https://json-schema.org/draft/2020-12/schema") {
            faults.push(format!("{named} is not a JSON Schema of draft 2020-12"));
        }
    }
    Ok(faults)
}
