//! Files from Hugging Face.

use comfyport_fetch::{Approved, FetchError};
use http::{HeaderMap, Method, header};

use super::{
    Host, Located, Way, Ways,
    web::{Asked, refused},
};
use crate::{PullError, Source, source::HubFile, trouble::Trouble};

impl Ways {
    /// Asks the hub for the head of a file. Where it is itself is another host as a rule, at an address that is signed
    /// for a while; what the hub says of it (its size, its hash, the commit) is not repeated there.
    pub(super) async fn locate_at_hub(&self, source: &Source, file: &HubFile) -> Result<Located, Trouble> {
        let place = source.to_string();
        let wrong = |error| PullError::Address { place: place.clone(), error };
        let hub = &self.hugging_face;
        let url = file.url(&hub.endpoint).ok_or_else(|| wrong(FetchError::Astray))?;
        let start = Approved::by_operator(url);
        let host = Host::HuggingFace { page: file.page(&hub.endpoint) };
        let (answer, elsewhere, token) =
            self.follow(&place, &start, &host, &Method::HEAD, &HeaderMap::new(), true).await?;
        let (status, headers) = (answer.status(), answer.headers());
        if !status.is_success() && !status.is_redirection() {
            return Err(refused(status, headers, &Asked { place: &place, host: &host, token, elsewhere }));
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
        let etag = text("x-linked-etag").or_else(|| text("etag"));
        // That of a small file is the SHA-1 of Git.
        let sha256 = etag.and_then(|etag| etag.trim_start_matches("W/").trim_matches('"').parse().ok());
        let size =
            number("x-linked-size").or_else(|| number("content-length").filter(|_| status.is_success()));
        let target = text(header::LOCATION.as_str()).filter(|_| status.is_redirection());
        let (start, signed) = match target {
            None => (start, false),
            Some(target) => {
                let url = answer.url().join(&target).map_err(|_| wrong(FetchError::Astray))?;
                if start.url().scheme() == "https" && url.scheme() != "https" {
                    return Err(wrong(FetchError::Downgrade).into());
                }
                if url.origin() == start.url().origin() {
                    (Approved::by_operator(url), true)
                } else {
                    let judged = self.client.guard().judge_url(url);
                    (judged.map_err(|refusal| wrong(FetchError::Refused(refusal)))?, true)
                }
            }
        };
        let commit = text("x-repo-commit");
        Ok(Located { place: place.clone(), sha256, size, commit, way: Way::Web { start, host, signed } })
    }
}
