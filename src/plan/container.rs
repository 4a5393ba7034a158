//! Container of a command: the key `container`.

use crate::language::expression::Template;
use crate::language::scope::Scope;
use crate::language::{ContainerEngine, Diagnostic};

use super::evaluate::{Reported, evaluate};
use super::model::Container;

/// The expressions of the key.
pub(super) struct ContainerTemplates<'e> {
    /// Image.
    pub image: Option<Template<'e>>,
    /// Engine.
    pub engine: Option<Template<'e>>,
}

/// The container of a stage at one point; `None` if it has none.
pub(super) fn container(
    templates: Option<&ContainerTemplates<'_>>,
    scope: &Scope,
    problems: &mut Vec<Diagnostic>,
) -> Result<Option<Container>, Reported> {
    let Some(ContainerTemplates { image, engine }) = templates else { return Ok(None) };
    let engine = evaluate::<ContainerEngine>(engine.as_ref(), scope, problems);
    // One that is missing was reported when the file was read.
    let Some(template) = image else { return Err(Reported) };
    let image = evaluate::<String>(Some(template), scope, problems)?.ok_or(Reported)?;
    let engine = engine?;
    if let Some((message, help)) = mistake(&image, engine) {
        problems.push(Diagnostic::new(template.span, message).help(help));
        return Err(Reported);
    }
    Ok(Some(Container { image, engine }))
}

/// Mistake in the name of an image, and its remedy.
fn mistake(image: &str, engine: Option<ContainerEngine>) -> Option<(String, &'static str)> {
    if image.is_empty() || image.starts_with('-') || image.contains(|c: char| c.is_control()) {
        let help = "write a name such as `docker.io/library/python:3.12`, or the path of a file for `apptainer`";
        return Some((format!("`{}` is not the name of an image", image.escape_debug()), help));
    }
    if let Some((scheme, _)) = image.split_once("://") {
        let help = match engine {
            Some(ContainerEngine::Apptainer) => {
                "write the file that `apptainer pull FILE ADDRESS` makes, once for all runs"
            }
            _ => "write the name of the image alone, such as `docker.io/library/python:3.12`",
        };
        return Some((format!("an image cannot be an address (`{scheme}://…`)"), help));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_are_told_from_options_and_addresses() {
        for image in ["alpine", "docker.io/library/python:3.12", "x@sha256:ab", "envs/my tools.sif", "localhost:5000/x"]
        {
            assert_eq!(mistake(image, None), None, "{image}");
        }
        for image in ["", "-v/:/x", "--privileged", "a\nb", "a\0", "docker://alpine", "library://x"] {
            assert!(mistake(image, None).is_some(), "{image}");
        }
        assert!(mistake("docker://x", Some(ContainerEngine::Apptainer)).unwrap().1.contains("apptainer pull"));
    }
}
