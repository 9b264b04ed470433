/* endpoints.h: the API's endpoints, one function each (call.h says what they work with). */
#ifndef QRY_ENDPOINTS_H
#define QRY_ENDPOINTS_H

#include "querier/call.h"

/* endpoints_query.c */
qry_endpoint qry_answer_query;
qry_endpoint qry_answer_query_range;

/* endpoints_labels.c */
qry_endpoint qry_answer_series;
qry_endpoint qry_answer_labels;
qry_endpoint qry_answer_label_values;

/* endpoints_text.c: queries as text */
qry_endpoint qry_answer_format_query;
qry_endpoint qry_answer_parse_query;

/* endpoints_extras.c: what series have beside samples */
qry_endpoint qry_answer_query_exemplars;
qry_endpoint qry_answer_metadata;

/* endpoints_scrape.c: what belongs to scraping, rules and alerts, of which there is none */
qry_endpoint qry_answer_targets;
qry_endpoint qry_answer_targets_metadata;
qry_endpoint qry_answer_relabel_steps;
qry_endpoint qry_answer_scrape_pools;
qry_endpoint qry_answer_alertmanagers;
qry_endpoint qry_answer_alerts;
qry_endpoint qry_answer_rules;

/* endpoints_features.c */
qry_endpoint qry_answer_features;
qry_endpoint qry_answer_notifications;
qry_endpoint qry_answer_notifications_live;
qry_endpoint qry_answer_self_metrics;
qry_endpoint qry_answer_search;

/* endpoints_status.c */
qry_endpoint qry_answer_buildinfo;
qry_endpoint qry_answer_runtimeinfo;
qry_endpoint qry_answer_flags;
qry_endpoint qry_answer_config;
qry_endpoint qry_answer_walreplay;
qry_endpoint qry_answer_tsdb_blocks;

/* endpoints_admin.c */
qry_endpoint qry_answer_delete_series;
qry_endpoint qry_answer_delete_tenant;
qry_endpoint qry_answer_clean_tombstones;
qry_endpoint qry_answer_erasures;

/* endpoints_tsdb.c */
qry_endpoint qry_answer_tsdb;

#endif
