#include "bus/settings.h"

#include <stdio.h>
#include <sys/random.h>

#define KEY(path_, type_, initial_, doc_)                                                          \
    {                                                                                              \
        .path = (path_), .type = (type_), .initial = (initial_), .doc = (doc_)                     \
    }

const struct mrd_config_key mrd_bus_settings_keys[MRD_BUS_SETTINGS_KEYS] = {
    KEY("instance", MRD_CONFIG_STRING, "",
        "Name of this process among its kind: letters, digits, - and _. Empty: a random name."),
    KEY("zone", MRD_CONFIG_STRING, "default", "Failure zone that this process runs in."),
    KEY("nats.url", MRD_CONFIG_STRING, "nats://127.0.0.1:4222",
        "NATS servers, separated by commas."),
    KEY("nats.user", MRD_CONFIG_STRING, "", "User at the NATS servers; empty: none."),
    KEY("nats.password", MRD_CONFIG_SECRET, "", "Password of nats.user."),
    KEY("nats.token", MRD_CONFIG_SECRET, "", "Token for the NATS servers; empty: none."),
    KEY("nats.credentials_file", MRD_CONFIG_STRING, "",
        "File with a NATS JWT and its seed; empty: none."),
    KEY("nats.nkey", MRD_CONFIG_STRING, "",
        "Public NKey of a user at the NATS servers; empty: none."),
    KEY("nats.nkey_seed_file", MRD_CONFIG_STRING, "", "File with the seed of nats.nkey."),
    KEY("nats.ca_file", MRD_CONFIG_STRING, "",
        "Certificates that the NATS servers are checked against; given, TLS is demanded."),
    KEY("nats.cert_file", MRD_CONFIG_STRING, "",
        "Certificate of this service, and what leads to its authority, for NATS servers that "
        "verify clients; given, TLS is demanded."),
    KEY("nats.key_file", MRD_CONFIG_STRING, "", "Private key of nats.cert_file."),
    KEY("nats.server_name", MRD_CONFIG_STRING, "",
        "Name that the certificates of the NATS servers must have; empty: the host in nats.url."),
    {.path = "nats.write_deadline",
       .type = MRD_CONFIG_DURATION,
       .initial = "1s",
       .doc = "A write to a NATS server that takes longer breaks the connection.",
       .min = 50,
       .max = 60000                 },
    KEY("region.id", MRD_CONFIG_STRING, "local",
        "Name of the region. It is recorded with the partition log."),
    KEY("region.jurisdiction", MRD_CONFIG_STRING, "local",
        "Jurisdiction that the region lies in; the residency class of its series."),
    {.path = "region.partitions",
       .type = MRD_CONFIG_INT,
       .initial = "4",
       .doc = "Partitions of the region's log. Fixed when the region is made.",
       .min = 1,
       .max = MRD_LOG_PARTITIONS_MAX},
    {.path = "log.replicas",
       .type = MRD_CONFIG_INT,
       .initial = "1",
       .doc = "Replicas of each partition of the log: 1, 3 or 5.",
       .min = 1,
       .max = 5                     },
    {.path = "log.max_bytes",
       .type = MRD_CONFIG_SIZE,
       .initial = "4GiB",
       .doc = "Bytes that one partition of the log may hold. A full log refuses writes with 503.",
       .min = 1 << 20,
       .max = 1e15                  },
    {.path = "log.max_age",
       .type = MRD_CONFIG_DURATION,
       .initial = "1d",
       .doc = "Age at which the log forgets a batch, in blocks or not. 0: never. Of no effect where "
            "compactors trim the log (compactor.trim): they take the age limit from it.",          .min = 0,
       .max = 1e12                  },
};

/* NULL for an empty setting, as the options mean "none". */
static const char *setting(const struct mrd_config *config, const char *path)
{
    const char *value = mrd_config_string(config, path);
    return value[0] == 0 ? NULL : value;
}

static struct mrd_bus_options options_of(const struct mrd_config *config, const char *name)
{
    return (struct mrd_bus_options){
        .urls = mrd_config_string(config, "nats.url"),
        .name = name,
        .user = setting(config, "nats.user"),
        .password = setting(config, "nats.password"),
        .token = setting(config, "nats.token"),
        .credentials_file = setting(config, "nats.credentials_file"),
        .nkey = setting(config, "nats.nkey"),
        .nkey_seed_file = setting(config, "nats.nkey_seed_file"),
        .ca_file = setting(config, "nats.ca_file"),
        .cert_file = setting(config, "nats.cert_file"),
        .key_file = setting(config, "nats.key_file"),
        .server_name = setting(config, "nats.server_name"),
        .write_deadline_ms = mrd_config_duration(config, "nats.write_deadline"),
    };
}

enum mrd_status mrd_bus_settings_open(const struct mrd_config *config, const char *purpose,
                                      struct mrd_bus **out_bus, struct mrd_error *err)
{
    char name[128];
    (void)snprintf(name, sizeof(name), "meridian %s %s", mrd_config_string(config, "instance"),
                   purpose);
    const struct mrd_bus_options options = options_of(config, name);
    return mrd_bus_open(&options, out_bus, err);
}

enum mrd_status mrd_bus_settings_try(const struct mrd_config *config, struct mrd_error *err)
{
    const struct mrd_bus_options options = options_of(config, NULL);
    return mrd_bus_try(&options, err);
}

struct mrd_log_config mrd_bus_settings_log(const struct mrd_config *config)
{
    return (struct mrd_log_config){
        .region = mrd_config_string(config, "region.id"),
        .partition_count = (uint32_t)mrd_config_int(config, "region.partitions"),
        .replicas = (uint32_t)mrd_config_int(config, "log.replicas"),
        .bytes_max = (int64_t)mrd_config_size(config, "log.max_bytes"),
        .age_ms_max = mrd_config_duration(config, "log.max_age"),
    };
}

const char *mrd_bus_settings_class(const struct mrd_config *config)
{
    return mrd_config_string(config, "region.jurisdiction");
}

void mrd_bus_settings_member(const struct mrd_config *config, enum mrd_member_kind kind,
                             struct mrd_member *out)
{
    static const char *const kind_names[] = {
        [MRD_MEMBER_DISTRIBUTOR] = "distributor",
        [MRD_MEMBER_INGESTER] = "ingester",
        [MRD_MEMBER_QUERIER] = "querier",
        [MRD_MEMBER_COMPACTOR] = "compactor",
    };
    *out = (struct mrd_member){.kind = kind};
    /* Never fails: a few bytes from an initialised pool (getrandom(2)). */
    mrd_assert(getrandom(&out->incarnation, sizeof(out->incarnation), 0) ==
               (ssize_t)sizeof(out->incarnation));
    const char *instance = mrd_config_string(config, "instance");
    if (instance[0] != 0) {
        (void)snprintf(out->instance, sizeof(out->instance), "%s", instance);
    } else {
        (void)snprintf(out->instance, sizeof(out->instance), "%s-%08x", kind_names[kind],
                       (unsigned)out->incarnation);
    }
    (void)snprintf(out->zone, sizeof(out->zone), "%s", mrd_config_string(config, "zone"));
    (void)snprintf(out->ops_address, sizeof(out->ops_address), "%s",
                   mrd_config_string(config, "http.listen"));
}
