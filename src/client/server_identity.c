#include "client/server_identity.h"

#include <string.h>

#include "base/escape.h"
#include "base/events.h"
#include "base/log.h"

void server_identity_log(bool is_load, const struct net_address *peer,
                         const struct opening_answer *answer)
{
    char address[NET_ADDRESS_TEXT], shown[2 * IDENTITY_ANSWER_TEXT];

    log_event(EVENT_SERVER_IDENTITY(is_load ? LOG_DEBUG : LOG_INFO),
              net_address_text(peer, address),
              escape_bytes(shown, sizeof shown, answer->text, strlen(answer->text)));
}
