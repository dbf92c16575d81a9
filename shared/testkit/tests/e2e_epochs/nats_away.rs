//! Read nodes are started while NATS is away: they have Postgres alone, and say so.

use http::{HeaderMap, HeaderName, Method, StatusCode};
use testkit::api::{create, set_price, try_set_price};
use testkit::{Options, holds};

use crate::shop::{changes_arrive, epoch, is_right_everywhere, kill, moment, open, start_again, stop};
use crate::traffic::Traffic;

#[tokio::test(flavor = "multi_thread")]
async fn nodes_started_without_nats_serve_from_postgres_alone_and_catch_up() {
    let mut shop = open(Options::default(), &[("FRESHET_NATS_WAIT_MS", "500")]);
    let urls = shop.stack.urls();
    let gateway = shop.gateway();
    let lamp = create(&gateway, "LAMP-1").await.id;
    changes_arrive(&shop, lamp, "2.00").await;
    let before = epoch(&urls.database).await;

    stop(&mut shop, "nats");
    set_price(&gateway, lamp, "3.00").await;
    for name in ["read-1", "read-2"] {
        kill(&mut shop, name);
        start_again(&mut shop, name);
    }
    tokio::task::block_in_place(|| shop.stack.add_read_node()).unwrap();
    assert_eq!(shop.read_nodes().len(), 3);
    let traffic = Traffic::begin(gateway.clone(), shop.read_nodes(), 10).await;
    traffic.acknowledges(100).await;

    let answer = try_set_price(&gateway, lamp, "4.00").await.unwrap();
    let token = HeaderMap::from_iter([(
        HeaderName::from_static("consistency-token"),
        answer.headers["consistency-token"].clone(),
    )]);
    for node in shop.read_nodes() {
        for path in [
            format!("/products/{lamp}"),
            format!("/products?ids={lamp}"),
            "/products?skus=LAMP-1".to_owned(),
            "/products?limit=1".to_owned(),
            "/products/search?q=lamp&limit=1".to_owned(),
        ] {
            holds(async || node.get(&path).await.unwrap().body.windows(6).any(|text| text == b"\"4.00\"")).await;
            let answer = node.get(&path).await.unwrap();
            assert_eq!((answer.status, moment(&answer)), (StatusCode::OK, None), "{path}");
            let status = answer.header("cache-status");
            assert!(status.starts_with("redis; fwd=bypass; detail="), "{path}: {status}");
            let included = node.request(Method::GET, &path, token.clone(), "").await.unwrap();
            assert_eq!(included.status, StatusCode::OK, "{path}: {:?}", included.problem());
        }
    }

    start_again(&mut shop, "nats");
    traffic.acknowledges(100).await;
    traffic.answers(100).await;
    let acknowledged = traffic.end().await;
    is_right_everywhere(&shop, &urls.database, &acknowledged).await;
    changes_arrive(&shop, lamp, "5.00").await;
    for node in shop.read_nodes() {
        let path = format!("/products/{lamp}");
        holds(async || node.get(&path).await.unwrap().header("cache-status") == "near; hit").await;
    }
    assert_eq!(epoch(&urls.database).await, before, "nothing was lost, so nothing begins anew");
}
