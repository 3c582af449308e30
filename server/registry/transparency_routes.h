/* What anyone may ask about the history of lists (docs/transparency.md): the tree's head, and RFC
 * 6962 proofs. As public as the lists. `list` is cps-list or ca-list, cps-list by default. */
#ifndef REGISTRY_TRANSPARENCY_ROUTES_H
#define REGISTRY_TRANSPARENCY_ROUTES_H

struct request;

/* GET /api/v1/transparency/head?treeSize=N: the newest one without treeSize */
void transparency_head(struct request *request);
/* GET /api/v1/transparency/inclusion?sequence=N&treeSize=M */
void transparency_inclusion(struct request *request);
/* GET /api/v1/transparency/consistency?first=M&second=N */
void transparency_consistency(struct request *request);

#endif
