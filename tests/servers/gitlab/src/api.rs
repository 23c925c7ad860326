//! The calls. Each names its page of GitLab's documentation.

use crate::world::{Issue, MergeRequest, NOTE_LIMIT, Note, World, id_of, user};
use serde_json::{Map, Value as Json, json};
use terrace_test_listening::strict::{Call, Outcome, Refusal, fault, refused};

/// The caller of a call.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) name: String,
    /// True for a token with the scope `api`, which may write.
    pub(crate) may_write: bool,
}

fn text(fields: &Map<String, Json>, name: &str) -> String {
    fields.get(name).and_then(Json::as_str).unwrap_or_default().to_owned()
}

fn note_text(fields: &Map<String, Json>) -> Result<String, Refusal> {
    let text = text(fields, "body");
    match text.trim().is_empty() || text.chars().count() > NOTE_LIMIT {
        true => Err(fault(400, "Note is blank or too long (maximum is 1000000 characters)")),
        false => Ok(text),
    }
}

pub(crate) fn answer(world: &mut World, caller: &Caller, call: &Call<'_>) -> Outcome {
    let not_found = |what: &str| refused(404, format!("404 {what} Not Found"));
    if call.method != "GET" && !caller.may_write {
        return Err(refused(403, "insufficient_scope"));
    }
    let number = |text: &str| text.parse::<u64>().map_err(|_| fault(400, "the number is invalid"));
    match (call.method, call.path) {
        // https://docs.gitlab.com/api/users/#retrieve-the-current-user
        ("GET", ["user"]) => Ok((200, user(&caller.name))),
        // https://docs.gitlab.com/api/group_members/
        ("GET", ["groups", group, "members", "all", id]) => {
            let members = world.groups.get(*group).ok_or_else(|| not_found("Group"))?;
            let id = number(id)?;
            let member = members.iter().find(|(name, _)| id_of(name) == id).ok_or_else(|| not_found("Not found"))?;
            Ok((200, member_json(member.0, *member.1)))
        }
        // https://docs.gitlab.com/api/groups/#retrieve-a-group
        ("GET", ["groups", group]) => {
            world.groups.get(*group).ok_or_else(|| not_found("Group"))?;
            Ok((200, json!({"full_path": group})))
        }
        // https://docs.gitlab.com/api/project_members/
        ("GET", ["projects", "42", "members", "all", id]) => {
            let id = number(id)?;
            let member =
                world.members.iter().find(|(name, _)| id_of(name) == id).ok_or_else(|| not_found("Not found"))?;
            Ok((200, member_json(member.0, *member.1)))
        }
        // https://docs.gitlab.com/api/merge_requests/#get-single-mr
        ("GET", ["projects", "42", "merge_requests", iid]) => {
            call.only_queries(&[])?;
            Ok((200, world.requests.get(&number(iid)?).ok_or_else(|| not_found("Not found"))?.to_json(false)))
        }
        // https://docs.gitlab.com/api/commits/#list-merge-requests-associated-with-a-commit
        ("GET", ["projects", "42", "repository", "commits", sha, "merge_requests"]) => {
            let is_of = |it: &&MergeRequest| {
                let other = it.commits.iter().any(|commit| commit == sha);
                it.head == *sha || it.merged.as_deref() == Some(*sha) || other
            };
            call.page(world.requests.values().filter(is_of).map(|it| it.to_json(true)).collect(), &["state"])
        }
        // https://docs.gitlab.com/api/notes/#list-all-merge-request-notes
        ("GET", ["projects", "42", "merge_requests", iid, "notes"]) => {
            let iid = number(iid)?;
            world.requests.get(&iid).ok_or_else(|| not_found("Not found"))?;
            let mut notes: Vec<Json> = world.notes.iter().filter(|it| it.request == iid).map(Note::to_json).collect();
            // The default is the newest first.
            if call.query.get("sort").is_none_or(|sort| sort == "desc") {
                notes.reverse();
            }
            call.page(notes, &["sort", "order_by"])
        }
        // https://docs.gitlab.com/api/notes/#create-new-merge-request-note
        ("POST", ["projects", "42", "merge_requests", iid, "notes"]) => {
            let request = number(iid)?;
            world.requests.get(&request).ok_or_else(|| not_found("Not found"))?;
            let text = note_text(call.fields(&["body"])?)?;
            let id = world.next();
            let note = Note { id, request, author: caller.name.clone(), text, is_edited: false, is_system: false };
            world.notes.push(note.clone());
            Ok((201, note.to_json()))
        }
        // https://docs.gitlab.com/api/notes/#modify-existing-merge-request-note
        ("PUT", ["projects", "42", "merge_requests", iid, "notes", id]) => {
            let (request, id) = (number(iid)?, number(id)?);
            let text = note_text(call.fields(&["body"])?)?;
            let is_it = |note: &&mut Note| note.id == id && note.request == request;
            let note = world.notes.iter_mut().find(is_it).ok_or_else(|| not_found("Note"))?;
            if note.author != caller.name {
                return Err(fault(403, "the note of another account"));
            }
            (note.text, note.is_edited) = (text, true);
            Ok((200, note.to_json()))
        }
        // https://docs.gitlab.com/api/commits/#set-commit-pipeline-status
        ("POST", ["projects", "42", "statuses", sha]) => {
            let fields =
                call.fields(&["state", "name", "description", "target_url", "ref", "coverage", "pipeline_id"])?;
            let states = ["pending", "running", "success", "failed", "canceled", "skipped"];
            let description = text(fields, "description");
            if sha.len() != 40 || !states.contains(&text(fields, "state").as_str()) || description.chars().count() > 255
            {
                return Err(fault(400, format!("invalid status: {}", call.body)));
            }
            let mut status = call.body.clone();
            status["sha"] = (*sha).into();
            let is_same = |known: &Json| ["sha", "name", "state"].iter().all(|name| known[*name] == status[*name]);
            let last = world
                .statuses
                .iter()
                .rev()
                .find(|known| known["sha"] == status["sha"] && known["name"] == status["name"]);
            if last.is_some_and(is_same) {
                return Err(refused(
                    400,
                    "Cannot transition status via :run from :success (Reason(s): Status cannot transition)",
                ));
            }
            world.statuses.push(status);
            Ok((201, json!({"id": world.statuses.len(), "status": text(fields, "state")})))
        }
        // https://docs.gitlab.com/api/issues/#list-project-issues
        ("GET", ["projects", "42", "issues"]) => {
            let (label, state) = (call.query.get("labels"), call.query.get("state").map_or("all", String::as_str));
            let is_shown = |issue: &&Issue| {
                let has_label = label.is_none_or(|label| issue.labels.contains(label));
                has_label && (state == "all" || issue.is_open == (state == "opened"))
            };
            call.page(world.issues.values().filter(is_shown).map(Issue::to_json).collect(), &["labels", "state"])
        }
        // https://docs.gitlab.com/api/issues/#new-issue
        ("POST", ["projects", "42", "issues"]) => {
            let fields = call.fields(&["title", "description", "labels"])?;
            let (title, description) = (text(fields, "title"), text(fields, "description"));
            if title.is_empty() || title.chars().count() > 255 || description.chars().count() > 1_048_576 {
                return Err(fault(400, "title or description is invalid"));
            }
            let labels = text(fields, "labels").split(',').map(str::to_owned).collect();
            let iid = world.next();
            let issue = Issue { iid, author: caller.name.clone(), title, text: description, labels, is_open: true };
            world.issues.insert(iid, issue.clone());
            Ok((201, issue.to_json()))
        }
        // https://docs.gitlab.com/api/issues/#edit-an-issue
        ("PUT", ["projects", "42", "issues", iid]) => {
            let fields = call.fields(&["title", "description", "labels", "state_event"])?;
            let issue = world.issues.get_mut(&number(iid)?).ok_or_else(|| not_found("Not found"))?;
            if fields.contains_key("description") {
                issue.text = text(fields, "description");
            }
            match text(fields, "state_event").as_str() {
                "close" => issue.is_open = false,
                "reopen" => issue.is_open = true,
                "" => {}
                other => return Err(fault(400, format!("state_event does not have a valid value: {other}"))),
            }
            Ok((200, issue.to_json()))
        }
        _ => Err(fault(404, "404 Not Found")),
    }
}

fn member_json(name: &str, level: u64) -> Json {
    let mut member = user(name);
    member["access_level"] = level.into();
    member
}
