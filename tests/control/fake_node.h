/* fake_node.h - tela_node.h without a data plane, to test the control side alone. An image retires
 * at the poll after the next publication, unless images are pinned; every image claims to have
 * served its generation times 10 calls. */
#pragma once

#include <stdbool.h>

/* While true, no image retires. A telad made of this obeys the file named by FAKE_NODE_PIN: pinned
 * while it exists. */
void fake_node_pin(bool pin);
unsigned fake_node_images(void); /* built and not yet freed */
