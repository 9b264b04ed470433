/* settings.h: the configuration keys of object storage, and the store that they describe.
 *
 * objstore.kind chooses between a folder (objstore.file.*) and S3 (objstore.s3.*). A service that uses
 * storage puts these keys beside its own.
 *
 * Threads: pure functions of the configuration, but for mrd_objstore_settings_open.
 */
#ifndef MRD_OBJSTORE_SETTINGS_H
#define MRD_OBJSTORE_SETTINGS_H

#include "base/config.h"
#include "objstore/store.h"

enum { MRD_OBJSTORE_SETTINGS_KEYS = 25 };
extern const struct mrd_config_key mrd_objstore_settings_keys[MRD_OBJSTORE_SETTINGS_KEYS];

/* Whether object storage is configured at all: kind s3, or a folder. */
bool mrd_objstore_settings_given(const struct mrd_config *config);

/* Opens the store that objstore.* names. Environment variables of S3 credentials are those of the
 * process. The caller owns the store, tries it with mrd_objstore_probe and closes it; `metrics` may be
 * NULL, else outlives it. MRD_E_INVALID names the setting that is wrong or missing. */
MRD_MUST_CHECK enum mrd_status mrd_objstore_settings_open(const struct mrd_config *config,
                                                          struct mrd_metrics *metrics,
                                                          struct mrd_objstore **out_store,
                                                          struct mrd_error *err);

#endif
