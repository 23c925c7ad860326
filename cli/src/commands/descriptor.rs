//! `terrace descriptor`: shows descriptors that terrace builds itself.

use super::plan::write_private;
use crate::args::{DescriptorBuildArguments, DescriptorCommand};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::input::{Input, is_edited};
use std::path::PathBuf;
use terrace_engine::repository::write;

/// Runs a command of the group.
///
/// # Errors
/// When the command fails.
pub(super) fn run(context: &Context<'_>, command: &DescriptorCommand) -> Result<Exit, Failure> {
    match command {
        DescriptorCommand::Build(arguments) => build(context, arguments),
    }
}

/// Builds the descriptor of a data product, and prints or writes it.
///
/// # Errors
/// When a file has errors, which are reported, or the paths have several data products.
fn build(context: &Context<'_>, arguments: &DescriptorBuildArguments) -> Result<Exit, Failure> {
    let mut input = Input::read(&arguments.paths, context.ui)?;
    let mut settings = context.settings(arguments.paths.first().map(PathBuf::as_path))?;
    let products = input.build_repositories(&mut settings, &arguments.repositories, context.ui)?;
    input.accept(context.ui)?;
    let product = match products.as_slice() {
        [product] => product,
        [] => {
            return Err(Failure::new("the files are descriptors already")
                .hint("name a repository: a folder with a catalog-info.yaml"));
        }
        [_, _, ..] => {
            let stacks: Vec<&str> = input.descriptors.iter().map(|descriptor| descriptor.stack.as_str()).collect();
            return Err(Failure::new(format!("the repositories have several data products: {}", stacks.join(", ")))
                .hint("name the folders of a single data product"));
        }
    };
    let text = write(product).map_err(Failure::new)?;
    match &arguments.out {
        None => context.ui.print(&text)?,
        Some(path) if is_edited(path) => {
            return Err(Failure::new(format!("`--out {}` would replace a file that people edit", path.display()))
                .hint("name a new file"));
        }
        Some(path) => write_private(path, &text)
            .map_err(|error| Failure::new(format!("`{}` cannot be written: {error}", path.display())))?,
    }
    Ok(Exit::Done)
}
