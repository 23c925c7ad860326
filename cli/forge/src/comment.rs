//! A comment within the limit of its forge: it leaves out whole sections, and counts them.

use crate::forge::{Called, Forge};
use crate::record::is_marked;

/// Room for the sentence about sections that are left out.
const ROOM: usize = 400;
/// The size limit in bytes for each character of the limit: a forge stores at most four bytes a character.
const BYTES: usize = 4;

/// The length of a text as forges count it: in UTF-16.
#[must_use]
pub fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Appends lines as long as the text has at most `limit` characters. Returns the number of lines without room: after the
/// first one, all are left out, so that readers miss no line between two others.
pub fn append(limit: usize, text: &mut String, lines: impl IntoIterator<Item = String>) -> usize {
    let (mut used, mut omitted) = (length(text), 0);
    for line in lines {
        used += length(&line);
        match omitted == 0 && used <= limit {
            true => text.push_str(&line),
            false => omitted += 1,
        }
    }
    omitted
}

/// Combines a head and sections to a text of at most `limit` characters. `left_out` writes the sentence about the number of
/// sections without room. The head must leave that sentence its room.
#[must_use]
pub fn within(limit: usize, head: &str, sections: &[String], left_out: impl FnOnce(usize) -> String) -> String {
    let mut text = head.to_owned();
    let total = length(head) + sections.iter().map(|section| length(section)).sum::<usize>();
    let room = if total <= limit { limit } else { limit.saturating_sub(ROOM) };
    let (mut used, mut omitted) = (length(head), 0);
    for section in sections {
        let needed = length(section);
        let fits = used + needed <= room && text.len() + section.len() <= room * BYTES;
        match fits {
            true => {
                text.push_str(section);
                used += needed;
            }
            false => omitted += 1,
        }
    }
    if omitted > 0 {
        text.push_str(&left_out(omitted).chars().take(ROOM).collect::<String>());
    }
    text
}

/// Creates the comment of a marker, or replaces its text, and returns the replaced text. The new text begins with the marker.
///
/// Only comments of the token's own account count. A comment that was deleted in the meantime is created again. Neither
/// forge has a conditional update: another job may write between the read and the update.
///
/// # Errors
/// When the forge refuses a call.
pub async fn upsert(forge: &dyn Forge, request: u64, marker: &str, text: &str) -> Called<Option<String>> {
    let created = match find(forge, request, marker).await? {
        Some((_, old)) if old == text => return Ok(Some(old)),
        Some((id, old)) => match forge.update_comment(request, id, text).await {
            Err(error) if error.status == Some(404) => forge.create_comment(request, text).await,
            updated => return updated.map(|()| Some(old)),
        },
        None => forge.create_comment(request, text).await,
    };
    created.map(|()| None)
}

/// The comment of a marker by the token's own account: its number and its text.
///
/// # Errors
/// When the forge refuses a call.
pub async fn find(forge: &dyn Forge, request: u64, marker: &str) -> Called<Option<(u64, String)>> {
    let own = forge.own_account().await?;
    let comments = forge.comments(request).await?.into_iter();
    let mut ours = comments.filter(|comment| comment.author.is_same(&own) && is_marked(&comment.text, marker));
    Ok(ours.next().map(|comment| (comment.id, comment.text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_without_room_are_counted() {
        let sections: Vec<String> = ["a", "b", "c"].iter().map(|letter| letter.repeat(600)).collect();
        let note = |count: usize| format!("{count} more");
        let all = within(1810, "0123456789", &sections, note);
        assert_eq!(length(&all), 1810);
        let some = within(1700, "0123456789", &sections, note);
        assert!(some.ends_with("b1 more") && length(&some) <= 1700, "{some}");
        let none = within(500, "0123456789", &sections, note);
        assert_eq!(none, "01234567893 more");
        // A later, smaller section still fits.
        let sizes = ["a".repeat(2000), "b".to_owned()];
        assert_eq!(within(1000, "", &sizes, note), "b1 more");
    }

    #[test]
    fn lines_without_room_are_counted() {
        let mut text = "head\n".to_owned();
        let lines = ["a\n", "long line\n", "b\n"].map(str::to_owned);
        assert_eq!(append(8, &mut text, lines), 2);
        assert_eq!(text, "head\na\n", "no later line follows");
        assert_eq!(append(100, &mut text, ["b\n".to_owned()]), 0);
        assert_eq!(text, "head\na\nb\n");
    }

    #[test]
    fn length_counts_utf_16() {
        assert_eq!((length("aü"), length("😀")), (2, 2));
    }
}
