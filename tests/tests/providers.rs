//! Products against servers and stand-ins of each provider.

mod airbyte; // an Airbyte workload from its first plan to its removal
mod bad_commands; // programs that hang, print too much, or print no JSON
mod customer_360; // one product over four systems
mod databricks; // a product with every kind of Databricks component
mod databricks_azure; // an Azure workspace that a run creates and uses
mod hasura; // a Hasura port on a server
mod limits; // call limits of provider instances
mod missing_settings; // instances without the address or credentials of their system
mod mistakes; // PostgreSQL and Snowflake mistakes, reported at their place
mod postgres; // a storage area and its port in PostgreSQL
mod role_mapper; // Hasura's role mapper, from the first role to a refused query
mod silent_servers; // systems that accept connections and never answer
mod snowflake; // the Network Status product in Snowflake, from its first plan to its removal
mod stopped_during_apply; // servers that stop during an apply
mod witboost; // an existing provisioner as a provider
