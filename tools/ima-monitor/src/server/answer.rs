// SPDX-License-Identifier: GPL-2.0

//! Answers, and refusals.

use crate::{session::Refused, store};
use axum::{
    http::{header, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use ima_push::{
    document::{Errors, Problem},
    MEDIA_TYPE,
};
use serde::Serialize;

/// Why a request is not answered as the host wished.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    title: &'static str,
    detail: String,
    retry_after: Option<u64>,
}

impl Refusal {
    fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            title,
            detail: detail.into(),
            retry_after: None,
        }
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Bad Request", detail)
    }

    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Unprocessable Content",
            detail,
        )
    }

    pub(super) fn unauthorised() -> Self {
        let detail = "no valid session of a host that was approved: open one";
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", detail)
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found", detail)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let detail = format!("the request has more than {limit} bytes, or broke off");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large", detail)
    }

    pub(super) fn too_slow() -> Self {
        let detail = "the request took too long to arrive";
        Self::new(StatusCode::REQUEST_TIMEOUT, "Request Timeout", detail)
    }

    pub(super) fn too_often(seconds: u64) -> Self {
        let detail = format!("wait {seconds} seconds");
        let mut new = Self::new(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests", detail);
        new.retry_after = Some(seconds);
        new
    }

    pub(super) fn busy(seconds: u64) -> Self {
        let detail = format!("the monitor is busy: wait {seconds} seconds");
        let mut new = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Service Unavailable",
            detail,
        );
        new.retry_after = Some(seconds);
        new
    }

    /// Says nothing to the host, and all to the administrator.
    pub(super) fn failed(why: impl std::fmt::Display) -> Self {
        eprintln!("<3>a request cannot be answered: {why}");
        let detail = "the monitor failed: its journal says why";
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal Server Error",
            detail,
        )
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Changed => Self::busy(1),
            error => Self::failed(error),
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Often(seconds) => Self::too_often(seconds),
            Refused::Random => Self::failed("OpenSSL has no random numbers"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let errors = Errors {
            errors: vec![Problem {
                status: self.status.as_u16().to_string(),
                title: self.title.to_owned(),
                detail: self.detail,
            }],
        };
        let mut response = json(self.status, &errors);
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// An answer in the protocol's media type.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let Ok(body) = serde_json::to_vec(body) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let kind = HeaderValue::from_static(MEDIA_TYPE);
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}

pub(super) async fn nothing_here() -> Refusal {
    Refusal::not_found(
        "there is nothing here: agents speak version 3.0 to the verifier, and 2.6 to the registrar",
    )
}
