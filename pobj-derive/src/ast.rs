//! A view of the derive's input: what is there, without judging it.

use quote::ToTokens;
use syn::{Data as SynData, DeriveInput, Expr, Fields, GenericParam, Ident, Lifetime, Type};

use crate::attr::Attrs;

/// A type that wants to be persistent.
pub struct Input<'a> {
    pub original: &'a DeriveInput,
    pub attrs: Attrs,
    pub data: Data<'a>,
}

pub enum Data<'a> {
    Struct(Vec<Field<'a>>),
    Enum(Vec<Variant<'a>>),
    Union,
}

pub struct Variant<'a> {
    pub ident: &'a Ident,
    pub discriminant: Option<&'a Expr>,
    pub fields: Vec<Field<'a>>,
}

pub struct Field<'a> {
    pub member: syn::Member,
    pub ty: &'a Type,
}

impl Field<'_> {
    /// The name in messages and in the schema.
    pub fn name(&self) -> String {
        match &self.member {
            syn::Member::Named(ident) => ident.to_string().trim_start_matches("r#").to_owned(),
            syn::Member::Unnamed(index) => index.index.to_string(),
        }
    }
}

impl<'a> Input<'a> {
    pub fn read(original: &'a DeriveInput) -> syn::Result<Self> {
        let data = match &original.data {
            SynData::Struct(data) => Data::Struct(fields(&data.fields)),
            SynData::Enum(data) => {
                let variant = |variant: &'a syn::Variant| Variant {
                    ident: &variant.ident,
                    discriminant: variant.discriminant.as_ref().map(|(_, value)| value),
                    fields: fields(&variant.fields),
                };
                Data::Enum(data.variants.iter().map(variant).collect())
            }
            SynData::Union(_) => Data::Union,
        };
        Ok(Self { original, attrs: Attrs::read(&original.attrs)?, data })
    }

    /// The fields of all variants, in the order of the source.
    pub fn fields(&self) -> Vec<&Field<'a>> {
        match &self.data {
            Data::Struct(fields) => fields.iter().collect(),
            Data::Enum(variants) => variants.iter().flat_map(|variant| &variant.fields).collect(),
            Data::Union => Vec::new(),
        }
    }

    pub fn lifetimes(&self) -> Vec<&'a Lifetime> {
        self.original.generics.lifetimes().map(|parameter| &parameter.lifetime).collect()
    }

    /// Whether `ty` is one of the type parameters.
    pub fn is_parameter(&self, ty: &Type) -> bool {
        let name = ty.to_token_stream().to_string();
        self.original
            .generics
            .params
            .iter()
            .any(|parameter| matches!(parameter, GenericParam::Type(parameter) if parameter.ident == name))
    }
}

fn fields(fields: &Fields) -> Vec<Field<'_>> {
    fields.members().zip(fields).map(|(member, field)| Field { member, ty: &field.ty }).collect()
}
