// SPDX-License-Identifier: GPL-2.0

//! What a store may send. `object_store` keeps whole answers in memory and follows a list from page
//! to page for ever; a store that wants to exhaust us could make use of both. So its connections
//! are cut when an answer gets too large, or one operation takes too many.

use async_trait::async_trait;
use http_body_util::{BodyExt, Limited};
use object_store::{
    client::{
        ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest,
        HttpResponse, HttpResponseBody, HttpService, ReqwestConnector,
    },
    Result,
};
use std::sync::{
    atomic::{AtomicU32, Ordering},
    Arc,
};

/// Bytes of one answer: a page of a list has at most 5000 names, and of an object not more is asked
/// for at once.
const MAX_ANSWER: usize = 8 << 20;

/// How many answers the current operation may still get.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter(Arc<AtomicU32>);

impl Meter {
    /// The next operation may get so many.
    pub(super) fn allow(&self, answers: u32) {
        self.0.store(answers, Ordering::Relaxed);
    }

    /// How many it has left.
    pub(super) fn left(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes one of them.
    fn take(&self) -> Result<(), HttpError> {
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        match taken {
            Ok(_) => Ok(()),
            Err(_) => Err(HttpError::new(
                HttpErrorKind::Decode,
                std::io::Error::other("the store needs too many answers for this"),
            )),
        }
    }
}

/// Makes connections that are metered.
#[derive(Debug)]
pub(super) struct Metered {
    connector: ReqwestConnector,
    meter: Meter,
}

impl Metered {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            connector: ReqwestConnector::default(),
            meter: meter.clone(),
        }
    }
}

impl HttpConnector for Metered {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let client = self.connector.connect(options)?;
        let meter = self.meter.clone();
        Ok(HttpClient::new(Connection { client, meter }))
    }
}

/// A connection that is metered.
#[derive(Debug)]
struct Connection {
    client: HttpClient,
    meter: Meter,
}

#[async_trait]
impl HttpService for Connection {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.meter.take()?;
        let (head, body) = self.client.execute(request).await?.into_parts();
        // an error of this kind is not tried again
        let body =
            Limited::new(body, MAX_ANSWER).map_err(|error| match error.downcast::<HttpError>() {
                Ok(error) => *error,
                Err(error) => HttpError::new_boxed(HttpErrorKind::Decode, error),
            });
        Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body)))
    }
}
