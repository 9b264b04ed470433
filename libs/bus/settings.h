/* settings.h: the configuration keys that every service on the bus shares, and what is made of them.
 *
 * nats.* says where the servers are, region.* and log.* describe the region and its partition log,
 * `instance` and `zone` name the process. A service puts these keys beside its own.
 *
 * Threads: pure functions of the configuration, but for mrd_bus_settings_open.
 */
#ifndef MRD_BUS_SETTINGS_H
#define MRD_BUS_SETTINGS_H

#include "base/config.h"
#include "bus/connection.h"
#include "bus/log_admin.h"
#include "bus/members.h"

enum { MRD_BUS_SETTINGS_KEYS = 20 };
extern const struct mrd_config_key mrd_bus_settings_keys[MRD_BUS_SETTINGS_KEYS];

/* Opens a connection as nats.* says; `purpose` ("publish", "log", "query") is added to its name. */
MRD_MUST_CHECK enum mrd_status mrd_bus_settings_open(const struct mrd_config *config,
                                                     const char *purpose, struct mrd_bus **out_bus,
                                                     struct mrd_error *err);

/* Why no connection can be made (mrd_bus_try). */
MRD_MUST_CHECK enum mrd_status mrd_bus_settings_try(const struct mrd_config *config,
                                                    struct mrd_error *err);

/* The partition log that region.* and log.* describe. Strings live as long as the configuration. */
struct mrd_log_config mrd_bus_settings_log(const struct mrd_config *config);

/* The region's residency class until a policy bundle says more: its jurisdiction. */
const char *mrd_bus_settings_class(const struct mrd_config *config);

/* Fills kind, instance (a name with a random part if none is configured), zone, operations address
 * and incarnation of this process' member record; no partitions. */
void mrd_bus_settings_member(const struct mrd_config *config, enum mrd_member_kind kind,
                             struct mrd_member *out);

#endif
