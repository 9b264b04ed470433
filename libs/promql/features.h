/* features.h: the parts of the language that Prometheus keeps behind --enable-feature, by its names.
 *
 * All are off unless enabled, as in Prometheus 3.14. A list of names becomes flags of the options that a
 * query brings along, so each query may have its own. "all" means all of the language that this engine has;
 * type-and-unit-labels, which expects senders to write __type__ labels, has to be named.
 */
#ifndef MRD_PROMQL_FEATURES_H
#define MRD_PROMQL_FEATURES_H

#include "promql/engine.h"

/* Enables the feature, or with "all" those of the language. MRD_E_INVALID for a name that is none, MRD_E_UNSUPPORTED for one
 * of Prometheus' that needs what is not stored; the text says which names there are. */
MRD_MUST_CHECK enum mrd_status mrd_promql_feature_enable(const char *name,
                                                         struct mrd_promql_options *options,
                                                         struct mrd_error *err);

/* The features that are on, with commas between them. */
void mrd_promql_features_print(const struct mrd_promql_options *options, struct mrd_buf *out);

#endif
