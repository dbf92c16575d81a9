//! `freshet get`: one product by id or by sku.

use std::process::ExitCode;

use anyhow::bail;
use form_urlencoded::byte_serialize;
use serde::Deserialize;

use crate::args::{Get, Target};
use crate::failure::{REFUSED, accepted};
use crate::output::{Product, print_line, print_product};

#[derive(Deserialize)]
struct Batch {
    items: Vec<Product>,
}

pub(crate) async fn run(get: &Get, target: &Target) -> anyhow::Result<ExitCode> {
    let client = target.client()?;
    let product: Product = match (&get.id, &get.sku) {
        (Some(id), _) => accepted(client.get(&format!("/products/{id}")).await?)?.json()?,
        (None, Some(sku)) => {
            let escaped: String = byte_serialize(sku.as_bytes()).collect();
            let batch: Batch = accepted(client.get(&format!("/products?skus={escaped}")).await?)?.json()?;
            let Some(product) = batch.items.into_iter().next() else {
                eprintln!("freshet: no product has the sku {sku}");
                return Ok(ExitCode::from(REFUSED));
            };
            product
        }
        (None, None) => bail!("name a product by its id or with --sku"),
    };
    if target.json {
        print_line(serde_json::to_vec(&product)?)?;
    } else {
        print_product(&product)?;
    }
    Ok(ExitCode::SUCCESS)
}
