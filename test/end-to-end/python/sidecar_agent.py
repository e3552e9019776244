"""An agent in Python: its login comes from the sidecar each time it is needed. Prints who it would log in as."""
import json
import os
import urllib.parse
import urllib.request

SIDECAR = os.environ["SIDECAR_URL"]
HEADERS = {"X-Aws-Parameters-Secrets-Token": os.environ["AWS_TOKEN"]}


def secret(name):
    query = urllib.parse.urlencode({"secretId": name})
    request = urllib.request.Request(f"{SIDECAR}/secretsmanager/get?{query}", headers=HEADERS)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


version = secret(os.environ["SECRET"])
login = json.loads(version["SecretString"])
print(json.dumps({"versionId": version["VersionId"], "username": login["username"], "dbname": login["dbname"]}))
