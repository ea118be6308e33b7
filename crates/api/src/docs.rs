//! Pages for people: the operations at `/docs`, rendered by Swagger UI, and the error codes at `/docs/errors`.
//!
//! Everything is in the binary; nothing is loaded from elsewhere, and the pages' policy forbids it.

use crate::{
    Api,
    extract::Path,
    problem::{Problem, errors_html},
};
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::{HeaderName, HeaderValue, header};
use std::{io, sync::Arc};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Swagger UI draws its arrows from `data:` images.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const OPERATIONS: &str = include_str!("docs/index.html");
const BEGIN: &str = include_str!("docs/begin.js");
const ERRORS: &str = include_str!("docs/errors.html");
const ERRORS_STYLE: &str = include_str!("docs/errors.css");

/// The pages and what they load.
pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(get_docs))
        .routes(routes!(get_docs_folder))
        .routes(routes!(get_error_codes))
        .routes(routes!(get_docs_file))
}

/// The operations, to read and to try.
#[utoipa::path(
    get,
    path = "/docs",
    tag = "documentation",
    responses((status = OK, description = "A page for a browser.", body = String, content_type = "text/html")),
    security(())
)]
async fn get_docs() -> Response {
    page(OPERATIONS)
}

/// Leads to `/docs`.
#[utoipa::path(
    get,
    path = "/docs/",
    tag = "documentation",
    responses((status = PERMANENT_REDIRECT, description = "The page is at `/docs`.")),
    security(())
)]
async fn get_docs_folder() -> Redirect {
    Redirect::permanent("../docs")
}

/// Every error code with its status, when it is given and what to do.
#[utoipa::path(
    get,
    path = "/docs/errors",
    tag = "documentation",
    responses((status = OK, description = "A page for a browser.", body = String, content_type = "text/html")),
    security(())
)]
async fn get_error_codes() -> Response {
    page(&ERRORS.replace("{{rows}}", &errors_html()))
}

/// What the pages load.
#[utoipa::path(
    get,
    path = "/docs/{file}",
    tag = "documentation",
    params(("file" = String, Path, description = "A script, a style or an image of the pages.")),
    responses((status = OK, description = "The file.", body = String, content_type = "*/*")),
    security(())
)]
async fn get_docs_file(Path(file): Path<String>) -> Result<Response, Problem> {
    match file.as_str() {
        "begin.js" => Ok(([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], BEGIN).into_response()),
        "errors.css" => Ok(([(header::CONTENT_TYPE, "text/css; charset=utf-8")], ERRORS_STYLE).into_response()),
        "swagger-ui.css" | "swagger-ui-bundle.js" | "favicon-32x32.png" => swagger_file(&file),
        _ => Err(Problem::not_found()),
    }
}

fn page(html: &str) -> Response {
    let policy = (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    let referrer = (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
    ([policy, referrer], Html(html.to_owned())).into_response()
}

/// A file of Swagger UI, compressed as it lies in the binary: every browser takes that.
fn swagger_file(name: &str) -> Result<Response, Problem> {
    let nothing = Arc::new(utoipa_swagger_ui::Config::default());
    let file = utoipa_swagger_ui::serve(name, nothing).map_err(|error| Problem::internal(&*error))?;
    let file = file.ok_or_else(|| Problem::internal(&io::Error::other(format!("{name} is not in the binary"))))?;
    let mut response = ([(header::CONTENT_TYPE, file.content_type)], file.bytes.into_owned()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    if file.gzpipped {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_api::{Answer, TestApi};
    use http::{Request, StatusCode};

    #[tokio::test]
    async fn the_pages_let_nothing_in_from_elsewhere() {
        let api = TestApi::start().await;
        for path in ["/docs", "/docs/errors"] {
            let answer = fetch(&api, path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            assert_eq!(answer.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
            assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'; script-src 'self'; connect-src 'self';"), "{policy}");
            assert!(!policy.contains("http") && !policy.contains("unsafe"), "{policy}");
        }
    }

    #[tokio::test]
    async fn everything_that_the_pages_name_is_there() {
        let api = TestApi::start().await;
        for (base, page) in [("/", OPERATIONS), ("/docs/", ERRORS)] {
            let links = page.split(['"']).filter(|text| text.contains('.') && !text.contains([' ', '>']));
            let links: Vec<String> = links.map(|link| format!("{base}{link}").replace("/docs/../", "/")).collect();
            assert!(links.len() > 1, "{links:?}");
            for link in links {
                let answer = fetch(&api, &link).await;
                assert_eq!(answer.status, StatusCode::OK, "{link}");
                assert_ne!(answer.headers[header::CONTENT_TYPE], "application/octet-stream", "{link}");
            }
        }
        let moved = fetch(&api, "/docs/").await;
        assert_eq!(
            (moved.status, &moved.headers[header::LOCATION]),
            (StatusCode::PERMANENT_REDIRECT, &"../docs".parse().unwrap())
        );
    }

    #[tokio::test]
    async fn no_other_file_is() {
        let api = TestApi::start().await;
        for path in ["/docs/index.html", "/docs/swagger-initializer.js", "/docs/..%2fopenapi.json", "/docs/x"] {
            let answer = fetch(&api, path).await;
            assert_eq!((answer.status, &answer.body["code"]), (StatusCode::NOT_FOUND, &"NOT_FOUND".into()), "{path}");
        }
    }

    async fn fetch(api: &TestApi, path: &str) -> Answer {
        api.ask_signed_out(Request::get(path), None).await
    }
}
