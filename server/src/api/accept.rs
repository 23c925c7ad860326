//! Which of several forms a caller wants most (`Accept`, RFC 9110 §12.5.1).

use axum::http::{HeaderMap, header};

/// The form that is wanted most, of these; the first of them where nothing is said, or nothing that there is.
///
/// Where several are wanted alike, the one that is named goes before one of a range, then whatever is named first.
pub(super) fn wanted<'f>(headers: &HeaderMap, forms: &[&'f str]) -> &'f str {
    let lines = headers.get_all(header::ACCEPT).into_iter().filter_map(|line| line.to_str().ok());
    let ranges: Vec<Range<'_>> = lines.flat_map(|line| line.split(',')).map(Range::of).collect();
    let mut best: Option<(&'f str, Rank)> = None;
    for form in forms {
        let matching = ranges.iter().enumerate().filter_map(|(at, range)| Some((range.closeness(form)?, at, range)));
        // The closest range decides, also when it says that the form is not wanted at all.
        let Some((closeness, at, range)) = matching.max_by_key(|(closeness, at, _)| (*closeness, usize::MAX - at))
        else {
            continue;
        };
        let rank = (range.weight, closeness, usize::MAX - at);
        if range.weight > 0 && best.is_none_or(|(_, best)| rank > best) {
            best = Some((form, rank));
        }
    }
    best.map(|(form, _)| form).or(forms.first().copied()).unwrap_or_default()
}

/// How much a form is wanted: by weight, by how closely it is named, and how early.
type Rank = (u16, u8, usize);

/// A range of forms and how much those are wanted, in thousandths.
struct Range<'a> {
    form: &'a str,
    weight: u16,
}

impl<'a> Range<'a> {
    fn of(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let form = parts.next().unwrap_or_default();
        let weight = parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("q"));
        Self { form, weight: weight.map_or(1_000, |(_, value)| thousandths(value)) }
    }

    /// How closely it names a form; nothing where it does not.
    fn closeness(&self, form: &str) -> Option<u8> {
        let kind = |form: &'_ str| form.split('/').next().unwrap_or_default().to_ascii_lowercase();
        match self.form {
            same if same.eq_ignore_ascii_case(form) => Some(2),
            "*/*" => Some(0),
            range if range.ends_with("/*") && kind(range) == kind(form) => Some(1),
            _ => None,
        }
    }
}

/// A weight such as `0.125`; all of it for what is none.
fn thousandths(text: &str) -> u16 {
    let (whole, rest) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    format!("{whole}{rest:0<3.3}").parse().unwrap_or(1_000).min(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[track_caller]
    fn check(accept: &[&str], expected: &str) {
        let lines = accept.iter().map(|line| (header::ACCEPT, HeaderValue::from_str(line).unwrap()));
        let mut headers = HeaderMap::new();
        lines.for_each(|(name, line)| {
            headers.append(name, line);
        });
        let forms = ["application/json", "text/plain", "text/markdown"];
        assert_eq!(wanted(&headers, &forms), expected, "{accept:?}");
    }

    #[test]
    fn the_form_that_is_wanted_most_is_chosen() {
        check(&[], "application/json");
        check(&[""], "application/json");
        check(&["image/png"], "application/json");
        check(&["*/*"], "application/json");
        check(&["text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8"], "application/json");
        check(&["text/markdown"], "text/markdown");
        check(&["TEXT/Markdown; charset=utf-8"], "text/markdown");
        check(&["text/*"], "text/plain");
        check(&["text/markdown;q=0.1, application/json"], "application/json");
        check(&["text/markdown;q=0.1", "text/plain; Q=0.75"], "text/plain");
        check(&["text/markdown, application/json"], "text/markdown");
        check(&["*/*, text/markdown"], "text/markdown");
        check(&["text/*, text/plain;q=0"], "text/markdown");
        check(&["application/json;q=0"], "application/json");
        check(&["text/plain;q=nonsense, text/markdown;q=0.999"], "text/plain");
    }
}
