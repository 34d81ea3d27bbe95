# Gives each claim of the default storage class a folder, and takes it away with the claim.
#
# kube-controller-manager's own provisioner makes folders that only root may enter, and folders are not handed
# to a pod's group; this one makes them open to every user before the volume exists.
#
# Arguments: kubectl, kubeconfig, folder of kubectl's cache, folder of the volumes, storage class.
kubectl=$1 kubeconfig=$2 cache=$3 volumes=$4 class=$5

api() { "$kubectl" --kubeconfig "$kubeconfig" --cache-dir "$cache" "$@"; }

# Follows objects line by line, for good: the API server ends each watch after some time.
follow() {
    while :; do
        api get "$1" --all-namespaces --watch --output "go-template=$2"
        sleep 1
    done
}

claim='{{.status.phase}} {{with .spec.storageClassName}}{{.}}{{else}}-{{end}} {{.spec.volumeMode}} '
claim=$claim'{{.metadata.namespace}} {{.metadata.name}} {{.metadata.uid}} {{.spec.resources.requests.storage}} '
claim=$claim'{{range $i, $mode := .spec.accessModes}}{{if $i}},{{end}}{{$mode}}{{end}}{{"\n"}}'

provision() {
    while read -r phase of mode namespace name uid size modes; do
        [ "$phase $of $mode" = "Pending $class Filesystem" ] || continue
        volume=pvc-$uid
        [ -d "$volumes/$volume" ] && continue
        mkdir -m 0777 "$volumes/$volume" || continue
        # A volume that could not be made is tried again at the claim's next change.
        api create --filename - <<YAML || rmdir "$volumes/$volume"
apiVersion: v1
kind: PersistentVolume
metadata:
  name: $volume
  annotations: {pv.kubernetes.io/provisioned-by: kfe2e/host-path}
spec:
  storageClassName: $class
  persistentVolumeReclaimPolicy: Delete
  capacity: {storage: "$size"}
  accessModes: [$modes]
  claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: $namespace, name: $name, uid: $uid}
  hostPath: {path: "$volumes/$volume", type: Directory}
YAML
    done
}

volume='{{.status.phase}} {{with .spec.storageClassName}}{{.}}{{else}}-{{end}} {{.metadata.name}}{{"\n"}}'

reclaim() {
    while read -r phase of name; do
        [ "$phase $of" = "Released $class" ] || continue
        api delete persistentvolume "$name" --wait=false --ignore-not-found && rm -rf "${volumes:?}/$name"
    done
}

follow persistentvolumeclaims "$claim" | provision &
follow persistentvolumes "$volume" | reclaim &
wait
