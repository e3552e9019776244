"""An agent in Python that reads its mirror in Vault with hvac. Prints who it would log in as, and of which version."""
import json
import os

import hvac

client = hvac.Client(url=os.environ["VAULT_ADDR"], token=os.environ["VAULT_TOKEN"])
path = os.environ["SECRET"]
answer = client.secrets.kv.v2.read_secret_version(path=path, raise_on_deleted_version=True)
data, metadata = answer["data"]["data"], answer["data"]["metadata"]
print(json.dumps({"username": data["username"], "stamps": list((metadata["custom_metadata"] or {}).values())}))
